"""Prefect's process worker, made to stop in order, to outlive its server and to start flow runs at once.
See docs/decisions/0008-draining.md and 0011-warm-start.md.

It overrides underscored methods of Prefect: the version is pinned in pyproject.toml, and tests/faults/test_draining.py
runs against the real thing.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
import anyio.abc
import structlog
from prefect.client.orchestration import get_client
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from app.crash_points import CrashPoint, reached
from workers.draining import DrainFile
from workers.health import Liveness
from workers.warm.execution import Executions
from workers.warm.spare import Spare

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

log = structlog.get_logger()

BUSY_POLL_SECONDS = 20.0
"""A worker that has no room asks only so often, to stay known as one that serves its queues (60 s in Prefect)."""
RETRY_SECONDS = 8.0
"""The longest pause while Prefect is away."""
TURN_SECONDS = 60.0
"""A turn that hangs for so long is given up and begun again."""
LOOK_SECONDS = 0.1
TERMINATED_SECONDS = 10.0
"""For a flow run that is told to end at once: it kills its sample and gives its batch back, which is tried for 5 s."""
KILLED_SECONDS = 3.0
FORGET_SECONDS = 2.0


class _Started(anyio.abc.TaskStatus[int]):
    """Remembers the process group of a flow run on the way to Prefect, which wants it too."""

    def __init__(self, groups: dict[UUID, int | None], flow_run_id: UUID, told: anyio.abc.TaskStatus[int]) -> None:
        self._groups = groups
        self._id = flow_run_id
        self._told = told

    def started(self, value: int | None = None) -> None:
        self._groups[self._id] = value
        if value is not None:
            self._told.started(value)


class DrainingWorker(ProcessWorker):
    """`drain` stops it when nothing runs any more, `kill` after seconds. Both may be called at any time, repeatedly."""

    def __init__(
        self, *, pool: str, queues: list[str], name: str, limit: int, drain_file: DrainFile, liveness: Liveness
    ) -> None:
        # The pool is the dispatcher's: one that somebody else made would tell it that Prefect has all it needs.
        super().__init__(
            work_pool_name=pool, work_queues=queues, name=name, limit=limit, create_pool_if_not_found=False
        )
        self._drain_file = drain_file
        self._liveness = liveness
        self._stopping = anyio.Event()
        self._killed = False
        self._terminated_seconds = TERMINATED_SECONDS
        self._groups: dict[UUID, int | None] = {}  # by flow run, from its start to its end
        self._asked_at = float("-inf")
        self._spare = Spare()
        self._executions = Executions(self._spare)

    @classmethod
    def __dispatch_key__(cls) -> str:
        """In Prefect's catalogue of classes beside its own; to its server the type stays `process`."""
        return "draining-process"

    async def serve(self, poll_seconds: float) -> bool:
        """Take and run flow runs until told to stop; whether everything that was begun could end by itself."""
        async with self:
            async with anyio.create_task_group() as loops:
                loops.start_soon(self._repeat, self.get_and_submit_flow_runs, poll_seconds)
                loops.start_soon(self._repeat, self._sync_with_pool, self.heartbeat_interval_seconds)
                loops.start_soon(self._spare.keep)
                loops.start_soon(self._executions.keep)
                log.info("worker started", name=self.name, queues=sorted(self._work_queues))
                await self._stopping.wait()
                await self._until_idle()
                loops.cancel_scope.cancel()
            if not self._is_idle() and self._runs_task_group is not None:
                self._runs_task_group.cancel_scope.cancel()
        await self._leave_the_pool()
        return not self._killed

    def drain(self) -> None:
        """Take nothing new; what runs is told to finish its sample and give its batch back."""
        if not self._stopping.is_set():
            log.info("draining", running=len(self._groups))
            self._drain_file.set()
            self._stopping.set()

    def kill(self, seconds: float = 2 * TERMINATED_SECONDS) -> None:
        """End what runs, within `seconds`: its batch is given back all the same, the present sample is lost."""
        if not self._killed:
            self._terminated_seconds = min(TERMINATED_SECONDS, seconds / 2)
            log.warning("not waiting any longer", running=len(self._groups))
            self.drain()
            self._killed = True

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        if self._stopping.is_set() or self._work_pool is None:
            return []
        # Every answer would be refused for want of room, and asking disturbs what is being measured.
        if not self.limiter.available_tokens and time.monotonic() - self._asked_at < BUSY_POLL_SECONDS:
            return []
        self._asked_at = time.monotonic()
        return await super().get_and_submit_flow_runs()

    async def _sync_with_pool(self) -> None:
        await self._sync_and_initialize()
        if self._work_pool is None:
            raise LookupError("the dispatcher has not made the pool yet")

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """The one place where a flow run's process is started; it leads a session of its own."""
        reached(CrashPoint.WORKER_PENDING)
        self._groups[flow_run.id] = None
        started = _Started(self._groups, flow_run.id, task_status or anyio.TASK_STATUS_IGNORED)
        try:
            return await self._executions.run(flow_run, configuration, started)
        finally:
            del self._groups[flow_run.id]

    async def _propose_pending_state(self, flow_run: FlowRun) -> bool:
        # The last moment at which a flow run can be left to another worker.
        return not self._stopping.is_set() and await super()._propose_pending_state(flow_run)

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
        """Left out: a write before every start, for what our batch says too."""

    async def _propose_submitting_state(self, flow_run: FlowRun) -> None:
        """Left out: `Submitting` is PENDING by another name, and lasts for the fork of a process."""

    async def _submit_run(self, flow_run: FlowRun) -> None:
        """Prefect's own lets an error end the worker, and one that finds no deployment keeps its slot for ever."""
        try:
            await super()._submit_run(flow_run)
        except Exception:
            log.exception("flow run not submitted; the dispatcher frees it", flow_run_id=str(flow_run.id))
        finally:
            self._submitting_flow_run_ids.discard(flow_run.id)
            if flow_run.id not in self._groups:
                self._release_limit_slot(flow_run.id)

    async def _repeat(self, turn: Callable[[], Awaitable[Any]], seconds: float) -> None:
        """For ever, whatever Prefect answers: a worker that ended with its server would take its samples along."""
        failures = 0
        while True:
            try:
                with anyio.fail_after(TURN_SECONDS):
                    await turn()
                failures = 0
            except Exception as error:
                log.warning("Prefect not reached, trying again", error=f"{type(error).__name__}: {error}"[:500])
                failures += 1
            self._liveness.note()
            await anyio.sleep(min(2.0 ** (failures - 1), RETRY_SECONDS) if failures else seconds)

    def _is_idle(self) -> bool:
        return not self._submitting_flow_run_ids and not self.limiter.borrowed_tokens

    async def _until_idle(self) -> None:
        while not self._is_idle() and not self._killed:  # noqa: ASYNC110 - Prefect's limiter tells nobody
            await anyio.sleep(LOOK_SECONDS)
        for number, seconds in ((signal.SIGTERM, self._terminated_seconds), (signal.SIGKILL, KILLED_SECONDS)):
            signalled: set[int] = set()
            with anyio.move_on_after(seconds):
                while not self._is_idle():
                    self._signal(number, signalled)
                    await anyio.sleep(LOOK_SECONDS)

    def _signal(self, number: signal.Signals, signalled: set[int]) -> None:
        """Once to each group, those that start meanwhile included."""
        for group in {group for group in self._groups.values() if group is not None} - signalled:
            signalled.add(group)
            with suppress(ProcessLookupError):
                os.killpg(group, number)

    async def _leave_the_pool(self) -> None:
        """Workers are named after pods: without this each pod that ever was stays listed as offline. Those that died
        are the dispatcher's to remove."""
        path = {"work_pool_name": self._work_pool_name, "name": self.name}
        try:
            with anyio.fail_after(FORGET_SECONDS):
                async with get_client() as client:
                    await client.request("DELETE", "/work_pools/{work_pool_name}/workers/{name}", path_params=path)
        except Exception as error:
            log.info("still listed in Prefect", name=self.name, error=f"{type(error).__name__}: {error}"[:500])

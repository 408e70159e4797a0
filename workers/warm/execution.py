"""One flow run from the order to its end: Prefect's own executor, around a process that the spare interpreter forks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import anyio
import anyio.abc
import structlog
from prefect.flows import load_flow_from_flow_run
from prefect.runner._flow_run_executor import FlowRunExecutionResult, FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle, create_isolated_termination_scope
from prefect.workers.process import ProcessJobConfiguration, ProcessWorkerResult

from workers.warm.spare import Spare

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.runner._control_channel import ControlChannel

log = structlog.get_logger()

LOOK_SECONDS = 5.0
"""How late an idle worker notices that its subscription to Prefect's events is lost."""
POLLING_SECONDS = 60.0
"""So long an idle worker makes do with Prefect's polling for cancelled flow runs, before it subscribes again."""


class SpareStarter:
    """Prefect's protocol of a starter. `environment` is the flow run's; `entrypoint` the module path of its flow."""

    def __init__(self, spare: Spare, entrypoint: str, environment: dict[str, str], control: ControlChannel) -> None:
        self._spare = spare
        self._entrypoint = entrypoint
        self._environment = environment
        self._control = control

    async def start(
        self, flow_run: FlowRun, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        environment = {
            **self._environment,
            **self._control_session(flow_run),
            "PREFECT__FLOW_RUN_ID": str(flow_run.id),
            # The worker's executor does what is to be done after a cancel or a crash.
            "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",
        }
        process = await self._spare.fork(flow_run.id, self._entrypoint, environment)
        scope = create_isolated_termination_scope(process.pid)
        task_status.started(ProcessHandle(cast("anyio.abc.Process", process), termination_scope=scope))
        await process.wait()

    def _control_session(self, flow_run: FlowRun) -> dict[str, str]:
        """By which the flow run hears that a signal means cancel, and tells that it has reported its end."""
        try:
            port, token = self._control.register(flow_run.id)
        except RuntimeError:  # no port could be bound: Prefect then goes by exit codes
            return {}
        return {"PREFECT__CONTROL_PORT": str(port), "PREFECT__CONTROL_TOKEN": token}


class Executions:
    """Give flow runs to `run` while `keep` runs."""

    def __init__(self, spare: Spare) -> None:
        self._spare = spare
        self._context: FlowRunExecutorContext | None = None
        self._open = anyio.Event()
        self._running = 0

    async def keep(self) -> None:
        """Be connected to what executors need (two websockets: 0.1 s that each flow run would else wait), for ever.

        Connected anew when the subscription to events is lost, by which Prefect's cancel is heard, and nothing runs.
        """
        while True:
            # In a task of its own: a context that fails half way leaves its scopes behind, which end with the task.
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._be_connected)
            await anyio.sleep(LOOK_SECONDS)

    async def _be_connected(self) -> None:
        try:
            async with FlowRunExecutorContext() as context:
                self._context = context
                self._open.set()
                await self._until_of_no_use(context)
        except Exception as error:
            log.warning("Prefect not reached, trying again", error=f"{type(error).__name__}: {error}"[:500])
        finally:
            self._close()

    async def run(
        self, flow_run: FlowRun, configuration: ProcessJobConfiguration, task_status: anyio.abc.TaskStatus[int]
    ) -> ProcessWorkerResult:
        """What `ProcessWorker.run` does, without a workspace to prepare: our flows are installed with the worker."""
        self._running += 1
        try:
            await self._open.wait()
            assert self._context is not None  # noqa: S101 - set before the event
            return await self._executed(self._context, flow_run, configuration, task_status)
        finally:
            self._running -= 1

    async def _executed(
        self,
        context: FlowRunExecutorContext,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int],
    ) -> ProcessWorkerResult:
        deployment = configuration._related_objects["deployment"]
        environment = {name: value for name, value in configuration.env.items() if value is not None}
        starter = SpareStarter(self._spare, deployment.entrypoint, environment, context.control_channel)
        executor = context.create_executor(
            flow_run, starter, resolve_flow=load_flow_from_flow_run, propose_submitting=False
        )
        done: list[FlowRunExecutionResult | None] = []

        async def submit(*, task_status: anyio.abc.TaskStatus[ProcessHandle]) -> None:
            done.append(await executor.submit(task_status=task_status))

        async with anyio.create_task_group() as tasks:
            handle = await tasks.start(submit)
            assert handle.pid is not None  # noqa: S101 - our processes have one
            task_status.started(handle.pid)
        [result] = done
        if result is None or result.status_code is None:
            raise RuntimeError("the flow run's process did not start")
        return ProcessWorkerResult(status_code=result.status_code, identifier=str(result.handle.pid))

    async def _until_of_no_use(self, context: FlowRunExecutorContext) -> None:
        since = time.monotonic()
        while self._running or _hears_of_cancels(context, time.monotonic() - since):  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(LOOK_SECONDS)
        # Nothing awaits between the look and this: no flow run gets a context that is being closed.
        self._close()

    def _close(self) -> None:
        if self._open.is_set():  # else flow runs may wait for the present event
            self._open = anyio.Event()


def _hears_of_cancels(context: FlowRunExecutorContext, age: float) -> bool:
    subscribed, polling = context._observer._consumer_task, context._observer._polling_task
    if subscribed is not None and not subscribed.done():
        return True
    return polling is not None and not polling.done() and age < POLLING_SECONDS

"""The worker's side of its spare interpreter: keep one, have it fork flow runs, replace one that died or hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

import anyio
import structlog
from prefect.settings import get_current_settings

from workers.measure import processes
from workers.measure.messages import MAX_PACKET
from workers.measure.threads import SINGLE_THREADED
from workers.warm.messages import Ended, Order, Ready, SpareMessage, Started

log = structlog.get_logger()

READY_SECONDS = 120.0
"""Bound on its imports, on a cold and busy node (2 s on a quiet one)."""
ANSWER_SECONDS = 3.0
"""Forking takes it 30 ms. One that does not answer by then is ended before another gets the flow run: it runs once."""
TRIES = 3
PAUSE_SECONDS = 5.0
"""After one that could not even start. One that dies later is replaced at once: nothing is measured then."""
TERMINATED_SECONDS = 10.0
"""For a flow run whose spare died, which tells it to end: it gives its batch back, which is tried for 5 s."""
LOOK_SECONDS = 0.1


class SpareLostError(Exception):
    """The spare is dead; no process is left of the flow run that it was asked to start."""


class FlowRunProcess:
    """A flow run's process, as Prefect wants to see one. It leads a session of its own."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = anyio.Event()

    def end(self, returncode: int) -> None:
        self.returncode = returncode
        self._ended.set()

    async def wait(self) -> None:
        await self._ended.wait()


@dataclass
class _Asked:
    flow_run_id: UUID
    answered: anyio.Event = field(default_factory=anyio.Event)
    run: FlowRunProcess | None = None


class _Interpreter:
    """One spare interpreter, from its start to its end. It dies with the thread that makes it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # As flow runs will have it, so that Prefect's settings need not be read again.
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        self._environment = {**os.environ, **settings, **SINGLE_THREADED}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers.warm.engine", str(theirs.fileno()), str(os.getpid())],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        ours.setblocking(False)
        self._control = ours
        self._settled = anyio.Event()  # it is ready, or gone
        self._gone = anyio.Event()
        self._one_at_a_time = anyio.Lock()
        self._asked: _Asked | None = None
        self._runs: dict[int, FlowRunProcess] = {}
        self.was_ready = False

    async def serve(self) -> None:
        """Hear what it says until it is gone."""
        try:
            while packet := await self._heard():
                self._note(SpareMessage.model_validate_json(packet).said)
        finally:
            self.kill()
            self._control.close()
            self._process.wait()
            self._gone.set()
            self._settled.set()
            if self._asked is not None:
                self._asked.answered.set()

    async def fork(self, flow_run_id: UUID, entrypoint: str, environment: Mapping[str, str]) -> FlowRunProcess:
        """Raises SpareLostError."""
        async with self._one_at_a_time:
            self._asked = _Asked(flow_run_id)
            try:
                with anyio.fail_after(READY_SECONDS):
                    await self._settled.wait()
                with anyio.fail_after(ANSWER_SECONDS):
                    await self._ask(
                        Order(flow_run_id=flow_run_id, entrypoint=entrypoint, environment=self._changes(environment))
                    )
                    await self._asked.answered.wait()
            except (TimeoutError, OSError):
                self.kill()
                await self._gone.wait()
            run, self._asked = self._asked.run, None
        if run is None:
            raise SpareLostError
        return run

    def kill(self) -> None:
        """With what it has forked and not told of: nobody would know of it."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGSTOP)  # it forks no more while we look
            unknown = set(processes.children(self._process.pid)) - set(self._runs)
            self._process.kill()
            for pid in unknown:
                processes.kill_session(pid)

    def orphans(self) -> Collection[FlowRunProcess]:
        """Once it is gone: the flow runs that it left behind."""
        return self._runs.values()

    async def _heard(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._control, MAX_PACKET)
        except OSError:
            return b""

    async def _ask(self, order: Order) -> None:
        await asyncio.get_running_loop().sock_sendall(self._control, order.model_dump_json().encode())

    def _note(self, said: Ready | Started | Ended) -> None:
        if isinstance(said, Ready):
            if said.threads > 1:
                log.warning("the spare interpreter has threads, flow runs may hang", threads=said.threads)
            self.was_ready = True
            self._settled.set()
        elif isinstance(said, Ended):
            self._runs.pop(said.pid).end(said.returncode)
        else:
            run = self._runs[said.pid] = FlowRunProcess(said.pid)
            if self._asked is not None and self._asked.flow_run_id == said.flow_run_id:
                self._asked.run = run
                self._asked.answered.set()

    def _changes(self, environment: Mapping[str, str]) -> dict[str, str | None]:
        """What the flow run's environment has otherwise than the spare's."""
        gone = dict.fromkeys(self._environment.keys() - environment.keys())
        return gone | {name: value for name, value in environment.items() if self._environment.get(name) != value}


class Spare:
    """Give flow runs to `fork` while `keep` runs, which has to be in the main thread."""

    def __init__(self) -> None:
        self._present: _Interpreter | None = None

    async def keep(self) -> None:
        """Have a spare interpreter, for ever: the next one as soon as one is gone."""
        async with anyio.create_task_group() as ends:
            while True:
                present = self._present = _Interpreter()
                await present.serve()
                for run in present.orphans():
                    ends.start_soon(_end, run)
                log.warning("the spare interpreter is gone, starting another", was_ready=present.was_ready)
                if not present.was_ready:
                    await anyio.sleep(PAUSE_SECONDS)

    async def fork(self, flow_run_id: UUID, entrypoint: str, environment: Mapping[str, str]) -> FlowRunProcess:
        """The flow run's process, from the spare or, if that is of no use, from a fresh one. Raises SpareLostError."""
        tried: _Interpreter | None = None
        for _ in range(TRIES):
            while (present := self._present) is tried or present is None:  # noqa: ASYNC110 - the rare case
                await anyio.sleep(LOOK_SECONDS)
            with suppress(SpareLostError):
                return await present.fork(flow_run_id, entrypoint, environment)
            log.warning("the spare interpreter did not take a flow run", flow_run_id=str(flow_run_id))
            tried = present
        raise SpareLostError(f"{TRIES} spare interpreters did not take flow run {flow_run_id}")


async def _end(run: FlowRunProcess) -> None:
    """The kernel has told it to end when its spare died. How it ended, nobody can know."""
    with anyio.move_on_after(TERMINATED_SECONDS):
        while processes.session(run.pid) is not None:  # noqa: ASYNC110 - it is nobody's child any more
            await anyio.sleep(LOOK_SECONDS)
    processes.kill_session(run.pid)
    run.end(-signal.SIGTERM)

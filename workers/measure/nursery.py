"""The parent's side of the fork server: start it, ask for children, hear how they ended."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

import workers
from workers.measure import processes
from workers.measure.messages import (
    LOG_FILE,
    STATUS_FILE,
    Exited,
    Forked,
    ForkRequest,
    NurseryMessage,
    NurseryReady,
    NurseryRequest,
    receive,
)
from workers.measure.threads import SINGLE_THREADED

log = structlog.get_logger()

START_SECONDS = 120.0
"""Bound on importing the libraries, on a cold and busy node."""
GIVEN_SECONDS = 30.0
"""A nursery that was given to us and is not ready by then hangs: we start our own."""

CLOSE_SECONDS = 5.0

ALLOWED = {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "JAVA_HOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
ALLOWED_PREFIXES = ("SPARK", "PYSPARK", "COVERAGE_")


class NurseryLostError(Exception):
    """The nursery died, and its children with it."""


@dataclass
class Child:
    """A live child: its process, our end of its channel, and the folder that is its own."""

    pid: int
    channel: socket.socket
    folder: Path

    @property
    def log_file(self) -> Path:
        return self.folder / LOG_FILE

    @property
    def status_file(self) -> Path:
        return self.folder / STATUS_FILE


def scrubbed_environment() -> dict[str, str]:
    """What children may see of our environment: an allow-list, so that no credential gets in by being new."""
    kept = {name: value for name, value in os.environ.items() if name in ALLOWED or name.startswith(ALLOWED_PREFIXES)}
    paths = [str(Path(workers.__file__).resolve().parents[1])]
    paths += [str(Path(path).resolve()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return kept | {**SINGLE_THREADED, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def start_fork_server() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """The process, which dies with the calling thread, and our end of its control channel."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workers.measure.forkserver", str(theirs.fileno()), str(os.getpid())],
            env=scrubbed_environment(),
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    return process, ours


class Nursery:
    """Start it from the thread that measures: the nursery dies with the thread that started it.

    Starting returns at once; the first `fork` waits until the libraries are imported. Not safe for threads. `given` is
    the control channel of a nursery that somebody else has forked for us; should it fail us, we start our own.
    """

    def __init__(self, given: socket.socket | None = None) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control = given
        self._given_until = time.monotonic() + GIVEN_SECONDS if given is not None else None
        self._pid: int | None = None
        self._ready = False
        self._exits: dict[int, Exited] = {}
        self._live: set[int] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        return self._pid

    def start(self) -> None:
        """Begin to start it if it is not running."""
        if self._control is None:
            self._process, self._control = start_fork_server()
            self._pid = self._process.pid

    def fork(self, request: ForkRequest) -> Child:
        """A new child. Restarts a dead nursery first. Raises NurseryLostError if it dies meanwhile."""
        if self._process is not None and self._process.poll() is not None:
            self._lost()
        self._wait_ready()
        assert self._control is not None  # noqa: S101 - `start` made it
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                asked = NurseryRequest(asked=request).model_dump_json().encode()
                socket.send_fds(self._control, [asked], [theirs.fileno()])
                pid = self._forked()
            except (OSError, NurseryLostError) as error:
                ours.close()
                self._lost()
                raise NurseryLostError("the fork server died while forking") from error
        self._live.add(pid)
        return Child(pid=pid, channel=ours, folder=Path(request.folder))

    def ready(self, timeout: float) -> bool:
        """Whether the libraries are imported, after at most `timeout` seconds. Raises NurseryLostError."""
        self.start()
        if self._ready:
            return True
        if self._given_until is None:
            return self._hear(timeout) and self._ready
        return self._given_is_ready(timeout, self._given_until)

    def _given_is_ready(self, timeout: float, until: float) -> bool:
        try:
            heard = self._hear(timeout)
        except NurseryLostError:
            self._replace_given("it is dead")
            return False
        if not self._ready and time.monotonic() > until:
            self._replace_given("it is not ready in time")
        return heard and self._ready

    def _replace_given(self, why: str) -> None:
        log.warning("the nursery that was given is of no use, starting another", reason=why)
        self._lost()
        self.start()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.ready(max(0.0, deadline - time.monotonic())):
            if time.monotonic() > deadline:
                self._lost()
                raise NurseryLostError(f"the fork server was not ready within {START_SECONDS:.0f} s")

    def _forked(self) -> int:
        while True:
            said = self._next()
            if isinstance(said, Forked):
                return said.pid
            self._note(said)

    def _next(self) -> NurseryReady | Forked | Exited:
        message = receive(self._control, NurseryMessage) if self._control is not None else None
        if message is None:
            raise NurseryLostError("the fork server died")
        return message.said

    def _note(self, said: NurseryReady | Forked | Exited) -> None:
        if isinstance(said, Exited):
            self._exits[said.pid] = said
            self._live.discard(said.pid)
        elif isinstance(said, NurseryReady):
            self._ready, self._pid = True, said.pid
            if said.threads > 1:
                log.warning("the fork server has threads, children may hang", threads=said.threads)

    def _hear(self, timeout: float) -> bool:
        """Note one message; False if none came in time. Raises NurseryLostError."""
        control = self.control
        if not select.select([control], [], [], timeout)[0]:
            return False
        try:
            self._note(self._next())
        except NurseryLostError:
            self._lost()
            raise
        return True

    @property
    def control(self) -> socket.socket:
        """Becomes readable when a child has ended. Raises NurseryLostError."""
        if self._control is None:
            raise NurseryLostError("the fork server died")
        return self._control

    def exit_of(self, child: Child, timeout: float = 0.0) -> Exited | None:
        """How the child ended; None if it lives after `timeout` seconds. Raises NurseryLostError."""
        deadline = time.monotonic() + timeout
        while child.pid not in self._exits:
            if child.pid not in self._live:
                raise NurseryLostError("the child's fork server died")
            if not self._hear(max(0.0, deadline - time.monotonic())):
                return None
        return self._exits[child.pid]

    def kill(self, child: Child) -> None:
        """End a child and all that it started, within a second."""
        processes.kill_session(child.pid)
        with suppress(NurseryLostError):
            self.exit_of(child, timeout=1.0)

    def end(self, child: Child, grace: float) -> None:
        """Let a child finish by closing its channel; kill it after `grace` seconds."""
        child.channel.close()
        with suppress(NurseryLostError):
            if self.exit_of(child, timeout=grace) is None:
                self.kill(child)
        self._exits.pop(child.pid, None)

    def close(self) -> None:
        """End the nursery and everything below it. Idempotent."""
        if self._control is None:
            return
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._speaks(max(0.0, deadline - time.monotonic())):
            pass
        self._lost()

    def _speaks(self, timeout: float) -> bool:
        """Whether it says anything before it ends."""
        assert self._control is not None  # noqa: S101 - the caller saw it
        if not select.select([self._control], [], [], timeout)[0]:
            return False
        return receive(self._control, NurseryMessage) is not None

    def _lost(self) -> None:
        """Forget a dead nursery. Its children died with it; what they had started may still run."""
        if self._control is not None:
            self._control.close()
        if self._pid is not None:
            processes.kill_session(self._pid)
        if self._process is not None:
            self._process.wait()
        for pid in self._live:
            processes.kill_session(pid)
        self._process, self._control, self._pid, self._ready, self._given_until = None, None, None, False, None
        self._live.clear()
        self._exits.clear()

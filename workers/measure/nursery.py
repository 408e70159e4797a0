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
    receive,
)
from workers.measure.threads import THREAD_VARIABLES

log = structlog.get_logger()

START_SECONDS = 120.0
"""Bound on importing the libraries, on a cold and busy node."""

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
    return kept | {
        **dict.fromkeys(THREAD_VARIABLES, "1"),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        # jemalloc in pyarrow starts a thread of its own on import, which a fork would lose.
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
    }


class Nursery:
    """Start it from the thread that measures: the nursery dies with the thread that started it.

    Starting returns at once; the first `fork` waits until the libraries are imported. Not safe for threads.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
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
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Begin to start it if it is not running."""
        if self._process is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "workers.measure.forkserver", str(theirs.fileno()), str(os.getpid())],
                env=scrubbed_environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._control = ours
        self._ready = False

    def fork(self, request: ForkRequest) -> Child:
        """A new child. Restarts a dead nursery first. Raises NurseryLostError if it dies meanwhile."""
        if self._process is not None and self._process.poll() is not None:
            self._lost()
        self._wait_ready()
        assert self._control is not None  # noqa: S101 - `start` made it
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                socket.send_fds(self._control, [request.model_dump_json().encode()], [theirs.fileno()])
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
        return self._ready or (self._hear(timeout) and self._ready)

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
            self._ready = True
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
        if self._process is None:
            return
        if self._control is not None:
            self._control.close()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._lost()

    def _lost(self) -> None:
        """Forget a dead nursery. Its children died with it; what they had started may still run."""
        if self._process is not None:
            processes.kill_session(self._process.pid)
            self._process.wait()
        if self._control is not None:
            self._control.close()
        for pid in self._live:
            processes.kill_session(pid)
        self._process, self._control, self._ready = None, None, False
        self._live.clear()
        self._exits.clear()

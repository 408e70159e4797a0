"""One program of a test as a process group of its own: named, logged, and killed, frozen or started again at will."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil

START_SECONDS = 300.0
END_SECONDS = 20.0
LOG_LINES = 40
_NOT_INHERITED = ("COVERAGE", "COREPOINT_", "PREFECT_")


class Part:
    """`is_ready` tells whether the program can be used; `log` keeps what all its starts have said."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        is_ready: Callable[[], bool],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        end_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = log
        self.starts = 0
        self.is_special = False  # whether the present start has variables of its own
        self.process: subprocess.Popen[bytes] | None = None
        self._command = list(command)
        self._is_ready = is_ready
        self._environment = inherited() if environment is None else dict(environment)
        self._folder = folder
        self._end_signal = end_signal

    def start(self, **more: str) -> None:
        """`more`: further variables of this start alone."""
        assert not self.is_alive(), f"{self.name} runs already"
        self.starts += 1
        self.is_special = bool(more)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                env={**self._environment, **more},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not self._is_ready():
            assert self.is_alive(), f"{self.name} ended while starting:\n{self.last_words()}"
            assert time.monotonic() < deadline, f"{self.name} did not start within {seconds} s:\n{self.last_words()}"
            time.sleep(0.05)

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def is_ready(self) -> bool:
        return self.is_alive() and self._is_ready()

    def kill(self, *, whole: bool = True) -> None:
        """As the kernel would, with no time for last words. `whole`: with all that it started, as a pod dies."""
        process, family = self.process, self.family() if whole else []
        self._signal(signal.SIGKILL, family)
        if process is not None:  # by now a supervisor may have started another
            process.wait(END_SECONDS)
        psutil.wait_procs(family, END_SECONDS)

    def freeze(self) -> None:
        """With all that it started, as a machine hangs."""
        self._signal(signal.SIGSTOP, self.family())

    def thaw(self) -> None:
        self._signal(signal.SIGCONT, self.family())

    def end(self) -> None:
        """In order; killed if that takes too long."""
        if self.process is None:
            return
        self.thaw()
        self._signal(self._end_signal, [])
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def family(self) -> list[psutil.Process]:
        """All that it started and that still runs, in groups and sessions of their own too."""
        if self.process is None or self.process.poll() is not None:
            return []
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def _signal(self, number: signal.Signals, family: Sequence[psutil.Process]) -> None:
        if self.process is not None and self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def last_words(self) -> str:
        if not self.log.exists():
            return f"--- {self.name}: no log"
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join([f"--- {self.name}: {self.log}", *lines])


def inherited() -> dict[str, str]:
    """The environment without what belongs to the tests, or to another installation on this machine."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}


def answers(url: str, auth: tuple[str, str] | None = None) -> bool:
    """Whether a GET of `url` is a success now."""
    try:
        return httpx.get(url, timeout=2, auth=auth).is_success
    except httpx.TransportError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports nobody uses: all are held at once, so that none is given twice."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]

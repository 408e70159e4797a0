"""A complete embedded corepoint as a process of its own, used the way a user uses it: by command line and HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

START_SECONDS = 120
COREPOINT = (sys.executable, "-m", "app.cli.main")
PORTS = ("port", "internal-port", "prefect-port", "mlflow-port")
T = TypeVar("T")


def free_ports(count: int) -> list[int]:
    """Ports nobody uses: all are held at once, so that none is given twice."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class Stack:
    """`corepoint up` on a folder, on ports of its own."""

    def __init__(self, folder: Path, *, traced: bool = True, **environment: str) -> None:
        """`traced`: whether coverage is measured in `up` itself, which takes it half as long again.

        Its worker and flow runs are never traced: they inherit no variables but those they are meant to have.
        """
        self.folder = folder
        inherited = {name: value for name, value in os.environ.items() if traced or not name.startswith("COVERAGE")}
        self.environment = {**inherited, **environment}
        self.process: subprocess.Popen[bytes] | None = None
        self.server = ""
        self.ports: dict[str, int] = {}

    def start(self) -> None:
        state = self.folder / "corepoint.json"
        state.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        ports = [f"--{name}={port}" for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True)]
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*COREPOINT, "up", "--data-dir", os.fspath(self.folder), *ports],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.wait(state.exists, START_SECONDS, f"corepoint to start; see {self.folder}")
        announced = json.loads(state.read_text())
        self.server, self.ports = announced["server"], announced["ports"]

    def stop(self) -> None:
        """As Ctrl-C would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def kill(self) -> None:
        """As a power cut would, for this one process."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def command(self, *arguments: str, code: int = 0, stdin: str | None = None) -> str:
        """Standard output of `corepoint ARGUMENTS`, which must end with `code`."""
        done = subprocess.run(
            [*COREPOINT, *arguments],
            env={**self.environment, "COREPOINT_SERVER": self.server, "NO_COLOR": "1"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def create(self, document: str, *arguments: str, code: int = 0) -> str:
        return self.command("create", "-f", "-", *arguments, stdin=document, code=code)

    def get(self, path: str) -> Any:
        response = httpx.get(f"{self.server}{path}", timeout=20)
        response.raise_for_status()
        return response.json()

    def latest_run(self, experiment: str) -> str:
        return str(self.get(f"/v1/experiments/{experiment}")["latest_run_id"])

    def rounds(self, run_id: str) -> dict[int, dict[str, Any]]:
        """The saved rounds of a run's only batch, by number."""
        files = sorted((self.folder / "objects").glob(f"**/runs/{run_id}/batches/*/rounds/*.json"))
        return {found["number"]: found for found in (json.loads(file.read_text()) for file in files)}

    def processes(self, *words: str) -> list[psutil.Process]:
        """Our processes whose command line holds all `words`."""
        mine = os.fspath(self.folder)
        found = []
        for process in psutil.process_iter():
            try:
                line, environment = " ".join(process.cmdline()), process.environ()
            except psutil.Error:
                continue
            belongs = mine in line or mine in environment.get("COREPOINT_OBJECTS__ROOT", "")
            if belongs and all(word in line for word in words):
                found.append(process)
        return found

    def children_of_samples(self) -> list[psutil.Process]:
        """Children that measure now, forked by the fork server of the flow run."""
        engines = self.processes("prefect.engine")
        below = [child for engine in engines for child in engine.children(recursive=True)]
        servers = {child.pid for child in below if "workers.measure.forkserver" in " ".join(child.cmdline())}
        return [child for child in below if child.ppid() in servers]

    def wait(self, condition: Callable[[], T], seconds: float, what: str) -> T:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"waited {seconds} s for {what}")

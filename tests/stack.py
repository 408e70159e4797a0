"""A complete embedded corepoint as a process of its own, used the way a user uses it: by command line and HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

from app.contracts.store import StoreConfig
from tests.part import free_ports
from tests.user import COREPOINT, User

START_SECONDS = 120
PORTS = ("port", "internal-port", "prefect-port", "mlflow-port")


class Stack(User):
    """`corepoint up` on a folder, on ports of its own."""

    def __init__(self, folder: Path, *, traced: bool = True, **environment: str) -> None:
        """`traced`: whether coverage is measured in `up` itself, which takes it half as long again.

        Its worker and flow runs are never traced: they inherit no variables but those they are meant to have.
        """
        inherited = {name: value for name, value in os.environ.items() if traced or not name.startswith("COVERAGE")}
        store = StoreConfig(kind="folder", root=folder / "objects")
        super().__init__(folder, {**inherited, **environment}, store)
        self.process: subprocess.Popen[bytes] | None = None
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

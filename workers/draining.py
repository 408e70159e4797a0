"""How a worker tells its flow runs to finish the current sample and give their batch back.

A file, not a signal and not Prefect: a flow run is a process of its own session that may still be starting, when a
signal would kill it, and Prefect may be what is being restarted. A file is a state, so nobody comes too late for it;
and looking for it between two samples costs no thread beside a measurement.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "COREPOINT_DRAIN_FILE"  # WorkerSettings.drain_file of the flow runs


@dataclass(frozen=True)
class DrainFile:
    """Without a path there is no worker to ask for anything (`workers` used as a library, a pod of one trial)."""

    path: Path | None = None

    def is_set(self) -> bool:
        return self.path is not None and self.path.exists()

    def set(self) -> None:
        if self.path is not None:
            self.path.touch()


@contextmanager
def drain_file(scratch: Path) -> Iterator[DrainFile]:
    """Of this worker alone, and named to the processes it starts. `scratch` outlives containers: the name is new."""
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="worker-", dir=scratch) as folder:
        file = DrainFile(Path(folder) / "draining")
        os.environ[VARIABLE] = os.fspath(file.path or "")
        yield file

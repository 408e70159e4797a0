"""Where an embedded corepoint lives: its folder, its ports, and the settings that follow from them."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
from pydantic import SecretStr

from app.contracts.states import QueueName
from app.contracts.store import StoreConfig
from app.settings import (
    ApiSettings,
    DatabaseSettings,
    DispatcherSettings,
    LeaseSettings,
    MlflowSettings,
    PrefectSettings,
    QueueSettings,
    Settings,
)

LOOPBACK = "127.0.0.1"  # embedded mode has no authentication, so it listens nowhere else
STATE_FILE = "corepoint.json"
WORKER_SHARE = 0.75
"""Share of this machine's memory that a sample may use: the rest is for Prefect, MLflow, us, and the desktop."""


class AlreadyRunningError(RuntimeError):
    """Another `corepoint up` holds the folder."""


@dataclass(frozen=True)
class Ports:
    public: int = 8787
    internal: int = 8788
    prefect: int = 8789
    mlflow: int = 8790


@dataclass(frozen=True)
class Place:
    """One folder holds everything; removing it removes the installation."""

    root: Path
    ports: Ports

    @property
    def server_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.public}"

    @property
    def internal_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.internal}"

    @property
    def prefect_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.prefect}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.mlflow}"

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """SQLite has one writing process: a second `up` on this folder is refused. Raises AlreadyRunningError."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise AlreadyRunningError(str(self.root)) from error
            yield

    def announce(self) -> None:
        """Tell other commands where this installation listens."""
        body = {"server": self.server_url, "pid": os.getpid(), "ports": asdict(self.ports)}
        target = self.root / STATE_FILE
        temporary = target.with_suffix(".new")
        temporary.write_text(json.dumps(body))
        temporary.replace(target)


def free_ports(wanted: Ports) -> Ports:
    """The wanted ports, each replaced by a free one where something else listens."""
    chosen = {name: port if _is_free(port) else _any_free() for name, port in asdict(wanted).items()}
    return replace(wanted, **chosen)


def taken(ports: Ports) -> list[int]:
    return [port for port in asdict(ports).values() if not _is_free(port)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _any_free() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def settings_for(place: Place) -> Settings:
    """The control plane's settings on small back ends; sections not named here come from COREPOINT_* variables."""
    memory = int(psutil.virtual_memory().total * WORKER_SHARE)
    threads = len(os.sched_getaffinity(0))
    queue = QueueSettings(memory_bytes=memory, threads=threads)
    return Settings(
        database=DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{place.root / 'corepoint.db'}")),
        objects=StoreConfig(kind="folder", root=place.objects),
        prefect=PrefectSettings(api_url=f"{place.prefect_url}/api"),
        mlflow=MlflowSettings(tracking_uri=place.mlflow_url),
        # One machine: whoever kills a worker watches, so a lost one is noticed in seconds.
        leases=LeaseSettings(heartbeat_seconds=1.0, lease_seconds=15.0, pending_seconds=30.0),
        dispatcher=DispatcherSettings(reconcile_seconds=3.0),
        api=ApiSettings(authentication=False),
        queues=dict.fromkeys(QueueName, queue),
    )

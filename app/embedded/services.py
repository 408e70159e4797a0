"""The programs an embedded corepoint runs beside itself: Prefect's server, MLflow's server, one worker."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import structlog

from app.contracts.states import QueueName
from app.embedded.place import LOOPBACK, Place
from app.settings import Settings

log = structlog.get_logger()
READY_SECONDS = 120.0  # Prefect's first start migrates its database; 13 s on two quiet cores
STOP_SECONDS = 20.0  # above the guard's own grace
RESTART_SECONDS = 2.0
# What programs of others are told of our environment: where things are, not our settings and secrets.
INHERITED = ("PATH", "HOME", "LANG", "LC_", "TZ", "TMPDIR", "SSL_CERT", "VIRTUAL_ENV")
# How far Prefect plans ahead of a schedule, as in the chart: by default 3 flow runs and an hour, which each change of a
# schedule deletes. Ten minutes outlast a loop of its scheduler (60 s) many times; the dispatcher finds a time that was
# not planned. 12 are enough for the shortest interval of a minute.
PLANNING = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS": "2",
    "PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS": "12",
    "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME": "PT10M",
}
HERE = os.fspath(Path(__file__).resolve().parents[2])


@dataclass
class Service:
    """A guarded program with its log file. `ready_url` answers 2xx when it can be used."""

    name: str
    command: list[str]
    log_file: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    inherits: tuple[str, ...] = INHERITED
    ready_url: str | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        guarded = [sys.executable, "-m", "app.embedded.guard", *self.command]
        with self.log_file.open("ab") as output:
            self.process = subprocess.Popen(
                guarded,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**self._inherited(), **self.environment, "PYTHONPATH": HERE},
            )

    def _inherited(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.startswith(self.inherits)}

    async def ready(self) -> None:
        """Wait until it can be used. Raises TimeoutError, or RuntimeError if it ended."""
        if self.ready_url is None:
            return
        async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient(timeout=2.0) as client:
            while True:
                if not self.is_alive():
                    raise RuntimeError(f"{self.name} ended while starting; see {self.log_file}")
                try:
                    if (await client.get(self.ready_url)).is_success:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.1)

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def stop(self) -> None:
        """End it and what it started; the guard escalates by itself."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            await asyncio.wait_for(asyncio.to_thread(self.process.wait), STOP_SECONDS)
        except TimeoutError:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)
        if self.process.stdin:
            self.process.stdin.close()


async def stop_all(services: Sequence[Service]) -> None:
    await asyncio.gather(*(service.stop() for service in services))


async def keep_alive(service: Service) -> None:
    """Start it again whenever it ends, until cancelled."""
    while True:
        if not service.is_alive():
            log.warning("service ended, starting it again", service=service.name)
            service.start()
        await asyncio.sleep(RESTART_SECONDS)


def prefect_server(place: Place) -> Service:
    home = place.root / "prefect"
    return Service(
        name="prefect",
        command=[
            *(sys.executable, "-m", "prefect", "server", "start"),
            *("--host", LOOPBACK, "--port", str(place.ports.prefect)),
        ],
        log_file=place.log("prefect"),
        ready_url=f"{place.prefect_url}/api/health",
        environment={
            **_prefect_environment(place),
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
            "PREFECT_SERVER_UI_API_URL": f"{place.prefect_url}/api",
            **PLANNING,
        },
    )


def mlflow_server(place: Place) -> Service:
    home = place.root / "mlflow"
    home.mkdir(parents=True, exist_ok=True)
    return Service(
        name="mlflow",
        command=[
            *(sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK, "--port", str(place.ports.mlflow)),
            *("--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"),
            *("--default-artifact-root", os.fspath(home / "artifacts"), "--no-serve-artifacts", "--workers", "1"),
        ],
        log_file=place.log("mlflow"),
        ready_url=f"{place.mlflow_url}/health",
        # The job executors are for MLflow's own evaluation jobs: eight processes that nobody here needs.
        environment={
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
    )


def worker(place: Place, settings: Settings) -> Service:
    """One worker for all queues: two samples at once on one machine would falsify each other."""
    queues = [name.value for name in QueueName]
    return Service(
        name="worker",
        command=[
            *(sys.executable, "-m", "workers.process", "--pool", settings.prefect.pool, "--name", "embedded"),
            *(argument for queue in queues for argument in ("--queue", queue)),
        ],
        log_file=place.log("worker"),
        inherits=(*INHERITED, "COREPOINT_", "JAVA_HOME", "SPARK", "PYSPARK", "LD_LIBRARY_PATH"),
        environment={
            **_prefect_environment(place),
            "COREPOINT_INTERNAL_URL": place.internal_url,
            "COREPOINT_WORKER_NAME": "embedded",
            "COREPOINT_OBJECTS__KIND": "folder",
            "COREPOINT_OBJECTS__ROOT": os.fspath(place.objects),
            "COREPOINT_SCRATCH": os.fspath(place.root / "scratch"),
            "COREPOINT_CACHE": os.fspath(place.root / "cache"),
            "COREPOINT_GRACE_SECONDS": "10",  # below the guard's: a batch is given back before it kills
        },
    )


def _prefect_environment(place: Place) -> dict[str, str]:
    return {
        "PREFECT_API_URL": f"{place.prefect_url}/api",
        "PREFECT_HOME": os.fspath(place.root / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLI_COLORS": "false",
        "PREFECT_LOGGING_LEVEL": "INFO",
    }

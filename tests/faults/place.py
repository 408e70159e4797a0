"""A complete corepoint of real processes, as the chart makes it: each can be killed, frozen and cut off by name."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import psutil

from tests.faults.environments import QUIET, Environments
from tests.faults.supervisor import Supervisor
from tests.faults.tcp_proxy import TcpProxy
from tests.minio_server import minio_part
from tests.part import START_SECONDS, Part, answers, free_ports, inherited
from tests.postgres_server import postgres_part
from tests.prefect_server import prefect_part
from tests.user import User

SERVICES = ("postgres", "minio", "prefect", "mlflow", "internal")
"""What parts speak to. `internal` is the API's port for workers, whichever of the APIs answers."""
CANCEL_SECONDS = 40.0


class Place(User):
    """Parts are named postgres, minio, prefect, mlflow, api-1, dispatcher-1, worker-1 and so on.

    Each speaks to each service through a proxy of its own: `link("worker-1", "internal").cut()`. `server` is where
    users find the APIs. MLflow is started, but nobody waits for it: `part("mlflow").wait_until_ready()`.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        """`settings`: further variables of all parts."""
        minio, store = minio_part(folder / "minio")
        self._environments = Environments(folder, store, lambda name, service: self.link(name, service).port, settings)
        super().__init__(folder, inherited(), store, self._environments.admin_key)
        self._links: dict[tuple[str, str], TcpProxy] = {}
        self._public, self._internal = TcpProxy(), TcpProxy()
        self._ports = {"minio": urlsplit(str(store.endpoint)).port or 0, "internal": self._internal.port}
        self.server = f"http://127.0.0.1:{self._public.port}"
        self.parts = {"minio": minio}
        self.supervisor = Supervisor(self.parts)
        self._own: set[str] = set()

    @contextmanager
    def running(self, apis: int = 1, dispatchers: int = 1, workers: int = 1) -> Iterator[None]:
        """All parts are ready, MLflow apart; in the end none of their processes is left."""
        with ExitStack() as stack:
            stack.callback(self._close)
            postgres, port = stack.enter_context(postgres_part(self._log("postgres"), connections=150))
            self.parts["postgres"], self._ports["postgres"] = postgres, port
            for part in (self.parts["minio"], postgres, self._mlflow()):
                part.start()
            postgres.wait_until_ready()
            for database in ("corepoint", "prefect"):
                self.sql(f"CREATE DATABASE {database}", database="postgres")
            self._prefect().start()
            self.parts["minio"].wait_until_ready()
            self._migrate()
            for _ in range(apis):
                self.add_api(wait=False)
            for _ in range(dispatchers):
                self.add_dispatcher(wait=False)
            self.parts["prefect"].wait_until_ready()  # a worker that does not find it ends, for its pod to start again
            for _ in range(workers):
                self.add_worker(wait=False)
            self._own = set(self.parts)
            self.wait_until_ready()
            with self.supervisor.watching():
                yield

    def wait_until_ready(self) -> None:
        for name, part in self.parts.items():
            if name != "mlflow":
                part.wait_until_ready()

    def part(self, name: str) -> Part:
        return self.parts[name]

    def link(self, name: str, service: str) -> TcpProxy:
        """The way from a part to a service."""
        if (name, service) not in self._links:
            self._links[name, service] = TcpProxy(self._ports[service])
        return self._links[name, service]

    def links(self, service: str) -> list[TcpProxy]:
        """The ways of all parts to a service."""
        return [link for (_, to), link in self._links.items() if to == service]

    def add_api(self, *, wait: bool = True, shared: bool = True, **more: str) -> str:
        """Another API. `shared`: it serves users and workers as the others do; else only who knows `address(name)`."""
        name, (public, internal) = self._next("api"), free_ports(2)
        ports = {"COREPOINT_SERVING__PUBLIC_PORT": str(public), "COREPOINT_SERVING__INTERNAL_PORT": str(internal)}
        self._ports[name] = public
        if shared:
            self._public.add(public)
            self._internal.add(internal)
        self._process(
            name, {**self._environments.of_control_plane(name), **ports}, public, "-m", "app.processes", "api"
        )
        return self._begin(name, wait, more)

    def add_dispatcher(self, *, wait: bool = True, **more: str) -> str:
        name, [port] = self._next("dispatcher"), free_ports(1)
        self._ports[name] = port
        environment = {
            **self._environments.of_control_plane(name),
            "COREPOINT_SERVING__DISPATCHER_PORT": str(port),
        }
        self._process(name, environment, port, "-m", "app.processes", "dispatcher")
        return self._begin(name, wait, more)

    def add_worker(self, *queues: str, wait: bool = True, **more: str) -> str:
        """Of `default` and `priority` if no queues are named."""
        name, [port] = self._next("worker"), free_ports(1)
        served = [word for queue in queues or ("default", "priority") for word in ("--queue", queue)]
        options = ["--pool", "corepoint", "--name", name, "--health-port", str(port), *served]
        self._process(name, self._environments.of_worker(name), port, "-m", "workers.process", *options)
        return self._begin(name, wait, more)

    def address(self, name: str) -> str:
        """Of an API's public port, or of a dispatcher's metrics."""
        return f"http://127.0.0.1:{self._ports[name]}"

    def crashed(self, name: str, seconds: float) -> None:
        """Wait until the part is dead; `start_again` brings it back."""
        self.wait(lambda: not self.parts[name].is_alive(), seconds, f"{name} to die")

    def start_again(self, *names: str) -> None:
        for name in names:
            self.parts[name].start()
        for name in names:
            self.parts[name].wait_until_ready()

    def flows_of(self, worker: str) -> list[psutil.Process]:
        """The processes of the flow runs that a worker runs now."""
        family = {process.pid for process in self.parts[worker].family()}
        return [process for process in self.flow_runs() if process.pid in family]

    def submitted(self, specification: dict[str, Any]) -> str:
        """The id of the first run of a new experiment."""
        answer = self.post("/v1/experiments", specification, key=secrets.token_hex(8))
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return str(answer.json()["latest_run_id"])

    def batch(self, run_id: str) -> dict[str, Any]:
        """The run's only batch, as the API shows it."""
        [batch] = self.get(f"/v1/runs/{run_id}/batches")["items"]
        return dict(batch)

    def manifest(self, run_id: str) -> dict[str, Any]:
        """Of the run's only trial."""
        [key] = self.objects.keys(f"runs/{run_id}/trials/")
        return dict(json.loads(self.objects.get(key)))

    def flow_runs_of(self, run_id: str) -> list[dict[str, Any]]:
        """What Prefect has of a run's batches."""
        return list(self.of_prefect("/flow_runs/filter", {"flow_runs": {"tags": {"all_": [f"run:{run_id}"]}}}))

    def restore(self) -> None:
        """As it was in the beginning: everything runs, nothing is in the way, and no run is open."""
        for link in self._links.values():
            link.heal()
        for part in self.parts.values():
            part.thaw()
            if part.is_special and part.name in self._own:
                part.kill()
        self.start_again(*(name for name in self._own if not self.parts[name].is_alive()))
        for run in self.open_runs():
            self.post(f"/v1/runs/{run}/cancel")
        self.wait(lambda: not self.open_runs(), CANCEL_SECONDS, "the open runs to be cancelled")
        for name in set(self.parts) - self._own:
            self.parts.pop(name).kill()

    def open_runs(self) -> list[str]:
        return [str(row["id"]) for row in self.sql("SELECT id FROM run WHERE finished_at IS NULL")]

    def sql(self, query: str, *arguments: Any, database: str = "corepoint") -> list[dict[str, Any]]:
        """Ask PostgreSQL itself."""

        async def asked() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self._database_url(database), timeout=10)
            try:
                return [dict(row) for row in await connection.fetch(query, *arguments, timeout=20)]
            finally:
                await connection.close()

        return asyncio.run(asked())

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Nobody else can read or write the table while the context lasts."""
        with asyncio.Runner() as runner:
            connection = runner.run(asyncpg.connect(self._database_url("corepoint"), timeout=10))
            runner.run(connection.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE", timeout=10))
            try:
                yield
            finally:
                runner.run(connection.close())

    def _database_url(self, database: str) -> str:
        return f"postgresql://test@127.0.0.1:{self._ports['postgres']}/{database}"

    def of_prefect(self, path: str, body: Any = None) -> Any:
        """POST to Prefect's API."""
        user, _, password = self._environments.prefect_auth.partition(":")
        url = f"http://127.0.0.1:{self._ports['prefect']}/api{path}"
        response = httpx.post(url, json=body or {}, auth=(user, password), timeout=20)
        response.raise_for_status()
        return response.json()

    def mlflow_url(self) -> str:
        return f"http://127.0.0.1:{self._ports['mlflow']}"

    def last_words(self) -> str:
        return "\n".join(part.last_words() for part in self.parts.values())

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _next(self, kind: str) -> str:
        return f"{kind}-{sum(name.startswith(kind) for name in self.parts) + 1}"

    def _process(self, name: str, environment: dict[str, str], port: int, *arguments: str) -> None:
        self.parts[name] = Part(
            name,
            [sys.executable, *arguments],
            self._log(name),
            lambda: answers(f"http://127.0.0.1:{port}/livez"),
            environment=environment,
        )

    def _begin(self, name: str, wait: bool, more: dict[str, str]) -> str:
        self.parts[name].start(**more)
        if wait:
            self.parts[name].wait_until_ready()
        return name

    def _prefect(self) -> Part:
        folder = self.folder / "prefect"
        url = f"postgresql+asyncpg://test@127.0.0.1:{self.link('prefect', 'postgres').port}/prefect"
        self.parts["prefect"], self._ports["prefect"] = prefect_part(folder, url, self._environments.prefect_auth)
        return self.parts["prefect"]

    def _mlflow(self) -> Part:
        folder, [port] = self.folder / "mlflow", free_ports(1)
        folder.mkdir(parents=True)
        store = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--no-serve-artifacts", "--workers", "1"]
        self.parts["mlflow"] = Part(
            "mlflow",
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), *store],
            self._log("mlflow"),
            lambda: answers(f"http://127.0.0.1:{port}/health"),
            environment={**inherited(), **QUIET, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            folder=folder,
        )
        self._ports["mlflow"] = port
        return self.parts["mlflow"]

    def _migrate(self) -> None:
        environment = self._environments.of_migration()
        command = [sys.executable, "-m", "app.processes", "migrate"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=START_SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr

    def _close(self) -> None:
        for name in ("worker", "dispatcher", "api", "prefect", "mlflow", "minio"):
            for part in [part for of, part in self.parts.items() if of.startswith(name)]:
                part.kill()
        for process in self.processes():
            process.kill()
        for link in (*self._links.values(), self._public, self._internal):
            link.close()

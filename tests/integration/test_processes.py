"""The processes of the control plane as pods start them: migrate, wait, api, dispatcher, on PostgreSQL and S3."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.minio_server import minio_server
from tests.part import free_ports
from tests.postgres_server import postgres_server

ADMIN = "cp_" + "a" * 12 + "_" + "A" * 43
WORKER = "cp_" + "b" * 12 + "_" + "B" * 43
START_SECONDS = 60


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with postgres_server() as url, minio_server(tmp_path_factory.mktemp("minio")) as store:
        assert store.secret_key is not None
        public, internal, dispatcher = free_ports(3)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        yield {
            **inherited,
            "COREPOINT_DATABASE__URL": f"{url}/postgres",
            "COREPOINT_OBJECTS__KIND": "s3",
            "COREPOINT_OBJECTS__ENDPOINT": str(store.endpoint),
            "COREPOINT_OBJECTS__ACCESS_KEY": str(store.access_key),
            "COREPOINT_OBJECTS__SECRET_KEY": store.secret_key.get_secret_value(),
            "COREPOINT_API__KEY_SECRET": "a secret of this test",
            "COREPOINT_BOOTSTRAP__ADMIN_KEY": ADMIN,
            "COREPOINT_BOOTSTRAP__WORKER_KEY": WORKER,
            "COREPOINT_SERVING__HOST": "127.0.0.1",
            "COREPOINT_SERVING__PUBLIC_PORT": str(public),
            "COREPOINT_SERVING__INTERNAL_PORT": str(internal),
            "COREPOINT_SERVING__DISPATCHER_PORT": str(dispatcher),
            # Nothing listens there: the dispatcher has to live without Prefect.
            "COREPOINT_PREFECT__API_URL": "http://127.0.0.1:9/api",
        }


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "app.processes", *arguments], env=environment)


def run(environment: dict[str, str], *arguments: str) -> int:
    return start(environment, *arguments).wait(START_SECONDS)


@contextmanager
def running(environment: dict[str, str], process: str, port: str) -> Iterator[str]:
    """The process answers /livez at the address that is given out; at the end it stops on SIGTERM with code 0."""
    address = f"http://127.0.0.1:{environment[f'COREPOINT_SERVING__{port}_PORT']}"
    child = start(environment, process)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"{address}/livez"):
            assert child.poll() is None, f"{process} ended with {child.returncode}"
            assert time.monotonic() < deadline, f"{process} did not start"
            time.sleep(0.1)
        yield address
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait(10)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False


def test_an_installation_is_migrated_then_served(environment: dict[str, str]) -> None:
    """Waiting gives up before, ends after; both keys work where they should, and migrating again changes nothing."""
    assert run(environment, "wait", "--seconds", "2") == 1
    assert run(environment, "migrate") == 0
    assert run(environment, "migrate") == 0
    assert run(environment, "wait", "--seconds", "20") == 0
    with running(environment, "api", "PUBLIC") as address:
        experiments = f"{address}/v1/experiments"
        assert httpx.get(experiments).status_code == 401
        assert httpx.get(experiments, headers={"Authorization": f"Bearer {ADMIN}"}).status_code == 200
        assert httpx.get(experiments, headers={"Authorization": f"Bearer {WORKER}"}).status_code == 403
        assert httpx.get(f"{address}/internal/v1/batches:claim").status_code == 404
        internal = f"http://127.0.0.1:{environment['COREPOINT_SERVING__INTERNAL_PORT']}"
        refused = httpx.post(
            f"{internal}/internal/v1/batches:claim", json={}, headers={"Authorization": f"Bearer {ADMIN}"}
        )
        assert refused.status_code == 403
        ready = httpx.get(f"{address}/readyz?verbose=true").json()
        assert {check["name"]: check["ok"] for check in ready["checks"]} == {"database": True, "objects": True}


def test_a_rotated_key_replaces_the_old_one(environment: dict[str, str]) -> None:
    rotated = "cp_" + "c" * 12 + "_" + "C" * 43
    assert run({**environment, "COREPOINT_BOOTSTRAP__ADMIN_KEY": rotated}, "migrate") == 0
    with running(environment, "api", "PUBLIC") as address:
        keys = {"old": ADMIN, "new": rotated}
        seen = {
            name: httpx.get(f"{address}/v1/experiments", headers={"Authorization": f"Bearer {key}"}).status_code
            for name, key in keys.items()
        }
    assert run(environment, "migrate") == 0
    assert seen == {"old": 401, "new": 200}


def test_a_key_of_another_shape_is_refused(environment: dict[str, str]) -> None:
    assert run({**environment, "COREPOINT_BOOTSTRAP__ADMIN_KEY": "hunter2"}, "migrate") == 1


def test_the_dispatcher_lives_without_prefect_and_tells_of_its_loops(environment: dict[str, str]) -> None:
    """A dependency that is away fails turns; it never ends the process."""
    assert run(environment, "migrate") == 0
    with running(environment, "dispatcher", "DISPATCHER") as address:
        deadline = time.monotonic() + 40
        while 'failed_turns_total{reconciler="registered"}' not in httpx.get(f"{address}/metrics").text:
            assert time.monotonic() < deadline, "no failed turn was counted"
            time.sleep(0.5)


async def test_work_that_another_process_commits_wakes_the_dispatcher(environment: dict[str, str]) -> None:
    """Through LISTEN, without waiting for the next poll."""
    import asyncio

    from app.db.engine import NOTIFY_CHANNEL, Database
    from app.settings import DatabaseSettings

    url = environment["COREPOINT_DATABASE__URL"]
    database = Database(DatabaseSettings.model_validate({"url": url}))
    listening = asyncio.create_task(database.listen())
    other = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        async with asyncio.timeout(10):
            while not database.work_arrived.is_set():
                await other.execute(f"NOTIFY {NOTIFY_CHANNEL}")
                await asyncio.sleep(0.05)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await other.close()
        await database.close()


def test_waiting_for_a_port(tmp_path: Path, environment: dict[str, str]) -> None:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
        assert run(environment, "wait-tcp", "127.0.0.1", port, "--seconds", "2") == 1
        listener.listen()
        assert run(environment, "wait-tcp", "127.0.0.1", port, "--seconds", "5") == 0


def test_logs_are_one_json_object_a_line(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.processes", "wait-tcp", "127.0.0.1", "9", "--seconds", "1"],
        env=environment, capture_output=True, text=True, timeout=START_SECONDS, check=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["nothing listens"]


async def test_an_older_version_starts_on_a_newer_database(environment: dict[str, str]) -> None:
    """`helm rollback`: neither migrating nor waiting stands in its way."""
    assert run(environment, "migrate") == 0
    connection = await asyncpg.connect(environment["COREPOINT_DATABASE__URL"].replace("+asyncpg", ""))
    revision = await connection.fetchval("SELECT version_num FROM alembic_version")
    try:
        await connection.execute("UPDATE alembic_version SET version_num = 'of-the-future'")
        assert run(environment, "migrate") == 0
        assert run(environment, "wait", "--seconds", "10") == 0
    finally:
        await connection.execute("UPDATE alembic_version SET version_num = $1", revision)
        await connection.close()

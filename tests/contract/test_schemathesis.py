"""Both APIs keep what their OpenAPI documents promise, whatever is sent: no 5xx, no undocumented answer."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import schemathesis
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from pydantic import SecretStr
from schemathesis.checks import load_all_checks
from schemathesis.config import SchemathesisConfig

from app.db.engine import Database
from app.db.migrate import migrate
from app.gateways.object_folder import FolderStore
from app.main import create_app, create_internal_app
from app.resources import Resources
from app.settings import DatabaseSettings, Settings
from workers.algorithms.registry import catalogue

load_all_checks()
CHECKS = schemathesis.checks.CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    ]
)
# Derandomized: the same requests every time, so that a failure here is a change of ours.
FEW = settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


class Silent:
    async def run_logs(self, flow_run_ids: list[str], limit: int) -> list[str] | None:
        return None


def resources_at(folder: Path) -> Resources:
    url = SecretStr(f"sqlite+aiosqlite:///{folder}/corepoint.db")
    return Resources(
        settings=Settings.model_validate({"api": {"authentication": False}, "database": {"url": url}}),
        database=Database(DatabaseSettings(url=url)),
        objects=FolderStore(folder / "objects", "corepoint", frozenset()),
        catalogue=catalogue(),
        logs=Silent(),
        render_report=lambda comparison: comparison.experiment,
    )


@contextmanager
def served(make: Callable[[Resources], FastAPI], folder: Path) -> Iterator[str]:
    """The application on a socket, with its own event loop in a thread; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop: list[uvicorn.Server] = []

    async def serve() -> None:
        resources = resources_at(folder)
        await migrate(resources.database.engine)
        server = uvicorn.Server(uvicorn.Config(make(resources), log_level="critical", lifespan="off"))
        stop.append(server)
        await server.serve(sockets=[listener])
        await resources.database.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        until = time.monotonic() + 20
        while not (stop and stop[0].started):
            assert time.monotonic() < until, "the server did not start"
            assert thread.is_alive(), "the server ended"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        if stop:
            stop[0].should_exit = True
        thread.join(timeout=20)
        listener.close()


def described(make: Callable[[Resources], FastAPI]) -> schemathesis.schemas.BaseSchema:
    config = SchemathesisConfig()
    config.projects.default.phases.update(phases=["examples", "fuzzing"])
    with TemporaryDirectory() as folder:  # only to build the application; nothing is served from it
        document = make(resources_at(Path(folder))).openapi()
    return schemathesis.openapi.from_dict(document, config=config)


@pytest.fixture(scope="module")
def public_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(create_app, tmp_path_factory.mktemp("public")) as url:
        yield url


@pytest.fixture(scope="module")
def internal_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(create_internal_app, tmp_path_factory.mktemp("internal")) as url:
        yield url


public = described(create_app)
internal = described(create_internal_app)


@public.parametrize()
@FEW
def test_the_public_api_keeps_its_document(case: schemathesis.Case, public_url: str) -> None:
    case.call_and_validate(base_url=public_url, checks=CHECKS, timeout=40)


@internal.parametrize()
@FEW
def test_the_internal_api_keeps_its_document(case: schemathesis.Case, internal_url: str) -> None:
    case.call_and_validate(base_url=internal_url, checks=CHECKS, timeout=40)

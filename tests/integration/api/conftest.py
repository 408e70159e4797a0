"""Both applications over a migrated database and an object store: SQLite with a folder, PostgreSQL with MinIO."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from api_builders import World
from pydantic import SecretStr
from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.contracts.objects import ObjectStore
from app.contracts.store import StoreConfig
from app.db.engine import Database
from app.db.migrate import migrate
from app.db.models import Base
from app.dispatcher.context import Context
from app.gateways.objects import open_store
from app.gateways.prefect import PrefectGateway
from app.gateways.webhooks import WebhookGateway
from app.main import create_app
from app.resources import Resources
from app.settings import DatabaseSettings, Settings
from tests.minio_server import minio_server
from tests.postgres_server import postgres_server
from tests.prefect_server import prefect_server
from workers.algorithms.registry import catalogue


class Logs:
    """Where no Prefect runs: a source that can be switched off."""

    def __init__(self) -> None:
        self.lines: list[str] | None = ["one", "two"]

    async def run_logs(self, flow_run_ids: list[str], limit: int) -> list[str] | None:
        return None if self.lines is None else [f"{flow_run_ids[0]}: {line}" for line in self.lines][:limit]


async def _sql(url: str, *statements: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


async def _migrated(url: str) -> None:
    database = Database(DatabaseSettings(url=SecretStr(url)))
    await migrate(database.engine)
    await database.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "corepoint.db"
    asyncio.run(_migrated(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with postgres_server() as url:
        asyncio.run(_sql(f"{url}/postgres", "CREATE DATABASE corepoint"))
        asyncio.run(_migrated(f"{url}/corepoint"))
        yield url


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as url:
        yield url


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StoreConfig, ObjectStore]]:
    """One client for all tests: each takes a tenth of a second to make."""
    with minio_server(tmp_path_factory.mktemp("minio"), StoreConfig().bucket) as config:
        yield config, open_store(config)


@dataclass(frozen=True)
class Backend:
    """A migrated database of this test alone, and an object store."""

    database_url: str
    store: StoreConfig
    objects: ObjectStore


BACKENDS = ["sqlite+folder", "postgresql+minio"]


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite+folder":
        return f"sqlite+aiosqlite:///{tmp_path}/empty.db"
    server: str = request.getfixturevalue("postgres")
    name = f"empty_{uuid4().hex}"
    asyncio.run(_sql(f"{server}/postgres", f"CREATE DATABASE {name}"))
    return f"{server}/{name}"


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "sqlite+folder":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "corepoint.db")
        folder = StoreConfig(kind="folder", root=tmp_path / "objects")
        return Backend(f"sqlite+aiosqlite:///{tmp_path}/corepoint.db", folder, open_store(folder))
    server: str = request.getfixturevalue("postgres")
    # Emptied, not made anew: a database is 7 MB of files each time. Keys of objects hold ids, so they never meet.
    emptied = [str(delete(table)) for table in reversed(Base.metadata.sorted_tables)]
    asyncio.run(_sql(f"{server}/corepoint", *emptied))
    config, objects = request.getfixturevalue("minio")
    return Backend(f"{server}/corepoint", config, objects)


@pytest.fixture
def database_url(backend: Backend) -> str:
    return backend.database_url


@pytest.fixture
def settings_values() -> dict[str, Any]:
    """Override it to change a setting."""
    return {}


@pytest.fixture
async def resources(backend: Backend, settings_values: dict[str, Any]) -> AsyncIterator[Resources]:
    url = {"url": backend.database_url}
    values = {"api": {"authentication": False}, "database": url, "objects": backend.store, **settings_values}
    settings = Settings.model_validate(values)
    database = Database(settings.database)
    yield Resources(
        settings=settings,
        database=database,
        objects=backend.objects,
        catalogue=catalogue(),
        logs=Logs(),
        render_report=lambda comparison: f"<!doctype html><title>{comparison.experiment}</title>",
    )
    await database.close()


@pytest.fixture
async def world(resources: Resources) -> AsyncIterator[World]:
    async with World.over(resources) as made:
        yield made


@pytest.fixture
async def context(resources: Resources) -> AsyncIterator[Context]:
    """What handlers and reconcilers work with. Prefect is at the settings' address, if it is anywhere."""
    settings = resources.settings
    prefect, webhooks = PrefectGateway(settings.prefect), WebhookGateway(settings.notifications)
    yield Context(
        settings=settings,
        database=resources.database,
        objects=resources.objects,
        prefect=prefect,
        mlflow=None,
        webhooks=webhooks,
        catalogue=resources.catalogue,
    )
    await prefect.aclose()
    await webhooks.aclose()


@pytest.fixture
async def changed(resources: Resources) -> AsyncIterator[Callable[..., httpx.AsyncClient]]:
    """A client of the public API with some resources replaced."""
    clients: list[httpx.AsyncClient] = []

    def make(**values: Any) -> httpx.AsyncClient:
        app = create_app(replace(resources, **values))
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        clients.append(httpx.AsyncClient(transport=transport, base_url="http://api"))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()

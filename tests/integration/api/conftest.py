"""Both applications over a migrated database of their own, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from api_builders import World
from pydantic import SecretStr
from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.db.engine import Database
from app.db.migrate import migrate
from app.db.models import Base
from app.gateways.object_folder import FolderStore
from app.main import create_app
from app.resources import Resources
from app.settings import DatabaseSettings, Settings
from tests.postgres_server import postgres_server
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


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/empty.db"
    server: str = request.getfixturevalue("postgres")
    name = f"empty_{uuid4().hex}"
    asyncio.run(_sql(f"{server}/postgres", f"CREATE DATABASE {name}"))
    return f"{server}/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database of this test alone."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "corepoint.db")
        return f"sqlite+aiosqlite:///{tmp_path}/corepoint.db"
    server: str = request.getfixturevalue("postgres")
    # Emptied, not made anew: a database is 7 MB of files each time.
    emptied = [str(delete(table)) for table in reversed(Base.metadata.sorted_tables)]
    asyncio.run(_sql(f"{server}/corepoint", *emptied))
    return f"{server}/corepoint"


@pytest.fixture
def settings_values() -> dict[str, Any]:
    """Override it to change a setting."""
    return {}


@pytest.fixture
async def resources(database_url: str, tmp_path: Path, settings_values: dict[str, Any]) -> AsyncIterator[Resources]:
    values = {"api": {"authentication": False}, "database": {"url": database_url}, **settings_values}
    settings = Settings.model_validate(values)
    database = Database(settings.database)
    yield Resources(
        settings=settings,
        database=database,
        objects=FolderStore(tmp_path / "objects", "corepoint", frozenset()),
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

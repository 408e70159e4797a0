"""A migrated database of each test, on SQLite and on PostgreSQL, and a way to fill it with rows in any state."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from metrics_rows import Rows
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app.db.engine import Database
from app.db.migrate import migrate
from app.settings import DatabaseSettings
from tests.postgres_server import postgres_server


async def _migrated(url: str) -> None:
    database = Database(DatabaseSettings(url=SecretStr(url)))
    await migrate(database.engine)
    await database.close()


async def _copied(server: str, name: str) -> None:
    engine = create_async_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name} TEMPLATE corepoint"))
    await engine.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "corepoint.db"
    asyncio.run(_migrated(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server whose database `corepoint` is migrated and empty."""
    with postgres_server() as url:
        asyncio.run(_made(url))
        yield url


async def _made(server: str) -> None:
    engine = create_async_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text("CREATE DATABASE corepoint"))
    await engine.dispose()
    await _migrated(f"{server}/corepoint")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "corepoint.db")
        return f"sqlite+aiosqlite:///{tmp_path}/corepoint.db"
    server: str = request.getfixturevalue("postgres")
    name = f"metrics_{uuid4().hex}"
    asyncio.run(_copied(server, name))
    return f"{server}/{name}"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = Database(DatabaseSettings(url=SecretStr(database_url)))
    yield made
    await made.close()


@pytest.fixture
async def rows(database: Database) -> Rows:
    return await Rows.begin(database)

"""A session that hangs in the middle of a statement holds its rows for ever, unless somebody ends it."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from app.db.engine import APPLICATION
from app.dispatcher import held
from app.dispatcher.context import Context

IDLE_SECONDS = 1.0


@pytest.fixture
def settings_values(database_url: str) -> dict[str, Any]:
    return {"database": {"url": database_url, "idle_seconds": IDLE_SECONDS}}


@pytest.mark.parametrize("backend", ["postgresql+minio"], indirect=True)
async def test_a_session_that_hangs_in_a_statement_is_ended_and_others_are_not(context: Context) -> None:
    url = context.settings.database.url.get_secret_value().replace("+asyncpg", "")
    ours, foreign = [
        await asyncpg.connect(url, server_settings={"application_name": name}) for name in (APPLICATION, "pg_dump")
    ]
    for connection, table in ((ours, "run"), (foreign, "dataset")):
        await connection.execute(f"BEGIN; LOCK TABLE {table}")
        await connection.prepare("SELECT 1")  # parsed, and now it waits for us
    assert await held.reconcile(context) == 0
    await asyncio.sleep(IDLE_SECONDS + 0.2)
    assert await held.reconcile(context) == 1
    async with context.database.read() as session:
        await session.execute(text("SELECT count(*) FROM run"))
    assert await held.reconcile(context) == 0
    assert await foreign.fetchval("SELECT 2") == 2
    for connection in (ours, foreign):
        connection.terminate()


@pytest.mark.parametrize("backend", ["sqlite+folder"], indirect=True)
async def test_sqlite_has_no_sessions(context: Context) -> None:
    assert await held.reconcile(context) == 0

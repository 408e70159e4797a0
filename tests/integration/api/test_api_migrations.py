"""Migrations over a database with rows in it: nothing is lost on the way up, or on the way down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import MetaData, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.clock import now
from app.db.engine import Database
from app.db.migrate import migrate
from app.settings import DatabaseSettings

EXPERIMENT, RUN, BATCH, TRIAL = (UUID(int=number) for number in range(1, 5))


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    made = Database(DatabaseSettings(url=SecretStr(empty_url)))
    yield made
    await made.close()


async def tables(connection: AsyncConnection) -> dict[str, Table]:
    found = MetaData()
    await connection.run_sync(found.reflect)
    return dict(found.tables)


async def write(database: Database, rows: dict[str, dict[str, Any]]) -> None:
    async with database.engine.connect() as connection:
        known = await tables(connection)
        for name, row in rows.items():
            await connection.execute(insert(known[name]).values(row))
        await connection.commit()


async def read(database: Database, name: str) -> list[dict[str, Any]]:
    async with database.engine.connect() as connection:
        table = (await tables(connection))[name]
        return [dict(row._mapping) for row in await connection.execute(select(table))]


def first_rows(database: Database) -> dict[str, dict[str, Any]]:
    """One of each, as revision 0001 has them. Reflected SQLite columns take UUIDs as it stores them."""
    sqlite = database.engine.dialect.name == "sqlite"
    experiment, run, batch, trial = (one.hex if sqlite else one for one in (EXPERIMENT, RUN, BATCH, TRIAL))
    return {
        "experiment": {
            "id": experiment, "name": "first", "spec": {}, "spec_sha256": "0", "version": 1, "created_at": now(),
        },
        "deployment": {"experiment_id": experiment, "queue": "default", "prefect_id": "known"},
        "run": {
            "id": run, "experiment_id": experiment, "spec": {}, "trigger": "manual", "state": "running", "version": 1,
            "cancel_requested": False, "created_at": now(),
        },
        "batch": {
            "id": batch, "run_id": run, "position": 0, "queue": "default", "state": "running", "attempt": 1,
            "version": 1, "estimated_seconds": 1.0, "order_seed": 1,
        },
        "trial": {
            "id": trial, "run_id": run, "batch_id": batch, "position": 0, "label": "a", "algorithm": "a",
            "algorithm_version": "1", "parameters": {}, "problem": {}, "dataset": "d", "dataset_sha256": "0",
            "sample_size": 1, "sample_seed": 1, "seed": 1, "is_reference": True, "queue": "default", "routing": "",
            "state": "running", "version": 1,
        },
    }  # fmt: skip


async def test_batches_and_deployments_of_before_are_of_processes(database: Database) -> None:
    await migrate(database.engine, "0001")
    await write(database, first_rows(database))
    await migrate(database.engine, "0002")
    (batch,) = await read(database, "batch")
    assert (batch["isolation"], batch["memory_limit_bytes"], batch["queue"]) == ("process", None, "default")
    (deployment,) = await read(database, "deployment")
    assert (deployment["isolation"], deployment["prefect_id"]) == ("process", "known")
    assert len(await read(database, "trial")) == 1


async def test_going_back_keeps_trials_and_forgets_the_deployments_of_pods(database: Database) -> None:
    await migrate(database.engine, "0001")
    rows = first_rows(database)
    await write(database, rows)
    await migrate(database.engine, "0002")
    await write(database, {"deployment": {**rows["deployment"], "isolation": "pod", "prefect_id": "pods"}})
    await migrate(database.engine, "-1")
    (batch,) = await read(database, "batch")
    assert "isolation" not in batch
    assert len(await read(database, "trial")) == 1
    assert [row["prefect_id"] for row in await read(database, "deployment")] == ["known"]
    await migrate(database.engine, "0002")
    assert len(await read(database, "trial")) == 1

"""Migrations over a database with rows in it: nothing is lost on the way up, or on the way down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import MetaData, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.clock import now
from app.db.engine import Database
from app.db.migrate import migrate, revisions
from app.settings import DatabaseSettings

EXPERIMENT, RUN, BATCH, TRIAL, COPY = (UUID(int=number) for number in range(1, 6))
STEPS = [pytest.param(before, after, id=f"{before}-{after}") for before, after in pairwise(revisions())]


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


async def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    async with database.engine.connect() as connection:
        names = await tables(connection)
    return {name: await read(database, name) for name in names if name != "alembic_version"}


def of_before(
    after: dict[str, list[dict[str, Any]]], before: dict[str, list[dict[str, Any]]]
) -> dict[str, list[dict[str, Any]]]:
    """What is in the tables and columns that there were before."""
    return {
        name: [{column: row[column] for column in rows[0]} for row in after[name]] if rows else after[name]
        for name, rows in before.items()
    }


@pytest.mark.parametrize(("before", "after"), STEPS)
async def test_rows_of_every_revision_survive_the_step_to_the_next_one_back_and_forth(
    database: Database, before: str, after: str
) -> None:
    await migrate(database.engine, before)
    await write(database, first_rows(database))
    written = await everything(database)
    assert sum(map(len, written.values())) == len(first_rows(database))
    for revision in (after, "-1", after):
        await migrate(database.engine, revision)
        assert of_before(await everything(database), written) == written
    await migrate(database.engine, "base")
    assert await everything(database) == {}


async def test_reused_results_of_before_know_whose_they_are(database: Database) -> None:
    await migrate(database.engine, "0002")
    rows = first_rows(database)
    await write(database, rows)
    copy = COPY.hex if database.engine.dialect.name == "sqlite" else COPY
    await write(database, {"trial": {**rows["trial"], "id": copy, "reused_from": rows["trial"]["id"]}})
    await migrate(database.engine, "0003")
    referred = {row["id"]: row["reused_run_id"] for row in await read(database, "trial")}
    assert {str(key).replace("-", "")[-1]: str(value)[-1] for key, value in referred.items()} == {"4": "e", "5": "2"}
    (run,) = await read(database, "run")
    assert (run["pinned"], run["urgent"], run["artifacts_deleted_at"]) == (False, False, None)


async def test_going_back_forgets_work_that_the_version_before_does_not_know(database: Database) -> None:
    await migrate(database.engine, "0003")
    due = {"due_at": now(), "generation": 1, "attempts": 0}
    for number, kind in enumerate(("run", "run_objects", "dataset_objects", "upload"), start=1):
        entity = UUID(int=number)
        known = entity.hex if database.engine.dialect.name == "sqlite" else entity
        await write(database, {"work": {"kind": kind, "entity_id": known, **due}})
    await migrate(database.engine, "-1")
    assert [row["kind"] for row in await read(database, "work")] == ["run"]


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

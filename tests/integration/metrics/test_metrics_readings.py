"""The numbers of the queues, from rows in every state, on both databases."""

from __future__ import annotations

import pytest
from metrics_rows import Rows
from sqlalchemy import Select, text
from sqlalchemy.dialects import postgresql, sqlite

from app.clock import now
from app.contracts.states import BatchState, DatasetState, Isolation, QueueName, RunState
from app.db.engine import Database
from app.db.models import WorkKind
from app.metrics.readings import (
    QueueReading,
    Readings,
    WorkReading,
    batches_query,
    read,
)

DEFAULT, SPARK = QueueName.DEFAULT, QueueName.SPARK
SLACK = 5.0
"""Seconds that a test may take between writing a row and reading it."""


async def readings(database: Database, *queues: QueueName) -> Readings:
    async with database.read() as session:
        return await read(session, queues or (DEFAULT,), now())


async def reading(database: Database, queue: QueueName = DEFAULT) -> QueueReading:
    return (await readings(database, queue)).queues[queue]


async def test_idle_queues_are_there_with_zeros(database: Database) -> None:
    found = await readings(database, *QueueName)
    assert found.queues == dict.fromkeys(QueueName, QueueReading())
    assert found.work == dict.fromkeys(WorkKind, WorkReading())
    assert found.runs == dict.fromkeys((RunState.PLANNING, RunState.QUEUED, RunState.RUNNING), 0)


async def test_demand_is_due_submitted_and_running_batches_of_the_queue(database: Database, rows: Rows) -> None:
    for state in BatchState:
        await rows.batches(2, state)
    await rows.batches(3, BatchState.SUBMITTED, SPARK)
    found = await readings(database, *QueueName)
    assert (found.queues[DEFAULT].waiting, found.queues[DEFAULT].running, found.queues[DEFAULT].demand) == (4, 2, 6)
    assert (found.queues[SPARK].waiting, found.queues[SPARK].running) == (3, 0)
    assert found.queues[QueueName.PRIORITY] == QueueReading()


async def test_a_batch_with_pods_of_its_own_wants_no_worker(database: Database, rows: Rows) -> None:
    for state in (BatchState.SUBMITTED, BatchState.RUNNING):
        await rows.batches(1, state, isolation=Isolation.POD)
    assert await reading(database) == QueueReading()


async def test_a_batch_of_a_queue_that_is_no_more_still_counts(database: Database, rows: Rows) -> None:
    await rows.batches(1, BatchState.SUBMITTED, SPARK)
    assert (await readings(database, DEFAULT)).queues[SPARK].demand == 1


async def test_a_batch_that_waits_out_its_delay_is_no_demand_yet(database: Database, rows: Rows) -> None:
    await rows.waiting(due_in=60.0, attempt=2)
    assert await reading(database) == QueueReading()
    await rows.waiting(due_in=-20.0, attempt=2)
    found = await reading(database)
    assert found.demand == 1
    assert found.oldest_wait_seconds == pytest.approx(20.0, abs=SLACK)


async def test_a_batch_that_could_not_be_submitted_is_demand_all_the_same(database: Database, rows: Rows) -> None:
    run_id = await rows.run(RunState.QUEUED, ago=300.0)
    await rows.waiting(due_in=60.0, attempts=3, run_id=run_id)
    found = await reading(database)
    assert found.demand == 1
    assert found.oldest_wait_seconds == pytest.approx(300.0, abs=SLACK)


async def test_the_oldest_wait_is_that_of_the_batch_that_waits_longest(database: Database, rows: Rows) -> None:
    await rows.batches(1, BatchState.SUBMITTED, ago=40.0)
    await rows.waiting(due_in=-90.0)
    await rows.batches(1, BatchState.RUNNING, ago=900.0)
    await rows.batches(1, BatchState.SUBMITTED, SPARK, ago=700.0)
    assert (await reading(database)).oldest_wait_seconds == pytest.approx(90.0, abs=SLACK)


async def test_datasets_to_prepare_are_demand_of_the_default_queue(database: Database, rows: Rows) -> None:
    await rows.dataset(DatasetState.PENDING, ago=30.0)
    await rows.dataset(DatasetState.PENDING, ago=500.0, attempt=2)
    await rows.dataset(DatasetState.PREPARING, ago=800.0)
    await rows.dataset(DatasetState.READY, ago=900.0)
    await rows.dataset(DatasetState.FAILED, ago=900.0)
    found = await reading(database)
    assert (found.waiting, found.running) == (2, 1)
    assert found.oldest_wait_seconds == pytest.approx(30.0, abs=SLACK)


async def test_work_is_due_late_or_postponed(database: Database, rows: Rows) -> None:
    await rows.work(WorkKind.TRIAL, due_in=-70.0)
    await rows.work(WorkKind.TRIAL, due_in=-10.0, attempts=2)
    await rows.work(WorkKind.TRIAL, due_in=50.0, attempts=1)
    await rows.work(WorkKind.RUN, due_in=50.0)
    found = (await readings(database)).work
    assert (found[WorkKind.TRIAL].due, found[WorkKind.TRIAL].postponed) == (2, 2)
    assert found[WorkKind.TRIAL].oldest_seconds == pytest.approx(70.0, abs=SLACK)
    assert found[WorkKind.RUN] == WorkReading()


async def test_runs_are_counted_while_they_are_open(database: Database, rows: Rows) -> None:
    for state in RunState:
        await rows.run(state)
    found = (await readings(database)).runs
    assert found == {RunState.PLANNING: 1, RunState.QUEUED: 2, RunState.RUNNING: 1}


async def test_finished_rows_are_not_read(database: Database, rows: Rows) -> None:
    """100,000 finished batches are passed by through an index, on both databases."""
    await rows.batches(100_000, BatchState.FINISHED)
    await rows.batches(200, BatchState.SUBMITTED)
    async with database.write() as session:
        await session.execute(text("ANALYZE"))
    plan = await explained(database, batches_query(now()))
    assert "ix_batch_state" in plan, plan
    assert "Seq Scan on batch" not in plan
    assert (await reading(database)).demand == 200


async def explained(database: Database, query: Select[tuple[object, ...]]) -> str:
    dialect = sqlite.dialect() if database.is_sqlite else postgresql.dialect()
    compiled = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    async with database.read() as session:
        explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        lines = (await session.execute(text(f"{explain} {str(compiled).replace(':', chr(92) + ':')}"))).all()
    return "\n".join(str(line[-1]) for line in lines)

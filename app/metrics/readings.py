"""The queues, the dispatcher's work and the open runs as the database has them. Indexed: finished rows are not read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.states import BatchState, DatasetState, Isolation, QueueName, RunState
from app.db.models import Batch, Dataset, Run, Work, WorkKind

OPEN_BATCHES = (BatchState.WAITING, BatchState.SUBMITTED, BatchState.RUNNING)
OPEN_RUNS = (RunState.PLANNING, RunState.QUEUED, RunState.RUNNING)
PREPARED_ON = QueueName.DEFAULT
"""Datasets are prepared by workers of this queue."""


@dataclass(frozen=True)
class QueueReading:
    waiting: int = 0
    running: int = 0
    oldest_wait_seconds: float = 0.0

    @property
    def demand(self) -> int:
        return self.waiting + self.running

    def with_more(self, other: QueueReading) -> QueueReading:
        return QueueReading(
            self.waiting + other.waiting,
            self.running + other.running,
            max(self.oldest_wait_seconds, other.oldest_wait_seconds),
        )


@dataclass(frozen=True)
class WorkReading:
    due: int = 0
    oldest_seconds: float = 0.0
    postponed: int = 0


@dataclass(frozen=True)
class Readings:
    """What was true at `at`. Every queue, kind and state asked for is there, with zeros if it is idle."""

    at: datetime
    queues: Mapping[QueueName, QueueReading]
    work: Mapping[WorkKind, WorkReading]
    runs: Mapping[RunState, int]


async def read(session: AsyncSession, queues: Iterable[QueueName], now: datetime) -> Readings:
    """`queues` are those that exist here."""
    found = dict.fromkeys(queues, QueueReading())
    for queue, state, number, since in (await session.execute(batches_query(now))).all():
        found[queue] = found.get(queue, QueueReading()).with_more(
            _reading(number, state is BatchState.RUNNING, since, now)
        )
    for state, number, since in (await session.execute(datasets_query())).all():
        found[PREPARED_ON] = found.get(PREPARED_ON, QueueReading()).with_more(
            _reading(number, state is DatasetState.PREPARING, since, now)
        )
    work = dict.fromkeys(WorkKind, WorkReading())
    for kind, due, since, postponed in (await session.execute(work_query(now))).all():
        work[kind] = WorkReading(due, _seconds(since, now), postponed)
    runs = dict.fromkeys(OPEN_RUNS, 0)
    for state, number in (await session.execute(runs_query())).all():
        runs[state] = number
    return Readings(at=now, queues=found, work=work, runs=runs)


def batches_query(now: datetime) -> Select[tuple[QueueName, BatchState, int, datetime | None]]:
    """Open batches by queue and state, and since when the oldest is due. Those with pods of their own need no worker.

    A batch that lost its worker waits for its work row to become due. A row that failed is put off as well, but its
    batch is due all the same; when it became so the row no longer says, so that the run's creation stands in for it.
    """
    failed = or_(Work.attempts > 0, Work.attempts.is_(None))
    due = or_(Batch.state != BatchState.WAITING, failed, Work.due_at <= now)
    since = case(
        (Batch.state == BatchState.RUNNING, None),
        (Batch.state == BatchState.SUBMITTED, Batch.submitted_at),
        (and_(failed, Batch.attempt == 1), Run.created_at),
        else_=Work.due_at,
    )
    return (
        select(Batch.queue, Batch.state, func.count(), func.min(since))
        # Every batch has a run; the outer join keeps SQLite from starting at the runs.
        .outerjoin(Run, Run.id == Batch.run_id)
        .outerjoin(Work, and_(Work.kind == WorkKind.BATCH, Work.entity_id == Batch.id))
        .where(Batch.state.in_(OPEN_BATCHES), Batch.isolation == Isolation.PROCESS, due)
        .group_by(Batch.queue, Batch.state)
    )


def datasets_query() -> Select[tuple[DatasetState, int, datetime | None]]:
    since = case(
        (Dataset.state == DatasetState.PREPARING, None),
        (Dataset.attempt == 1, Dataset.created_at),
        else_=Dataset.submitted_at,
    )
    return (
        select(Dataset.state, func.count(), func.min(since))
        .where(Dataset.state.in_((DatasetState.PENDING, DatasetState.PREPARING)))
        .group_by(Dataset.state)
    )


def work_query(now: datetime) -> Select[tuple[WorkKind, int, datetime, int]]:
    """By kind: due, since when, postponed. The table holds open wishes only, so reading all of it is cheap."""
    due = Work.due_at <= now
    return select(
        Work.kind,
        func.count().filter(due),
        func.min(Work.due_at).filter(due),
        func.count().filter(Work.attempts > 0),
    ).group_by(Work.kind)


def runs_query() -> Select[tuple[RunState, int]]:
    return select(Run.state, func.count()).where(Run.state.in_(OPEN_RUNS)).group_by(Run.state)


def _reading(number: int, running: bool, since: datetime | None, now: datetime) -> QueueReading:
    if running:
        return QueueReading(running=number)
    return QueueReading(waiting=number, oldest_wait_seconds=_seconds(since, now))


def _seconds(since: datetime | None, now: datetime) -> float:
    # Below zero where another machine's clock is ahead, or a row was put off.
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())

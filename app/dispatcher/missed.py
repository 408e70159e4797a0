"""Missed: planned times that nobody came for, because Prefect, a dispatcher or all of us were away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from app.clock import now
from app.db.models import Experiment, WorkKind
from app.db.work import want
from app.dispatcher.context import Context
from app.runs.planned_times import account
from app.runs.schedule import locked


async def reconcile(context: Context) -> int:
    """Answers how many experiments had such times. Those that are late get their run, others as `catchUp` says."""
    until = now() - timedelta(seconds=context.settings.schedules.grace_seconds)
    behind = await _behind(context, until)
    return sum([await _account(context, experiment_id, until) for experiment_id in behind])


async def _behind(context: Context, until: datetime) -> Sequence[UUID]:
    query = select(Experiment.id).where(Experiment.scheduled_next <= until).order_by(Experiment.scheduled_next)
    async with context.database.read() as session:
        return (await session.scalars(query.limit(context.settings.schedules.page))).all()


async def _account(context: Context, experiment_id: UUID, until: datetime) -> int:
    async with context.database.write() as session:
        experiment = await locked(session, experiment_id, wait=False)
        if experiment is None or experiment.scheduled_next is None or experiment.scheduled_next > until:
            return 0
        await account(session, experiment, until, now(), context.settings.schedules)
        # Prefect should have come first: it may not know the schedule (any more), or another.
        await want(session, WorkKind.EXPERIMENT, experiment_id, now())
    return 1

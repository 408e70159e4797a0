"""Prefect's pool and queues exist; if Prefect was emptied, schedules are put back too."""

from __future__ import annotations

from sqlalchemy import select

from app.clock import now
from app.db.models import Experiment, WorkKind
from app.db.work import want
from app.dispatcher.context import Context


async def reconcile(context: Context) -> int:
    if await context.prefect.has_pool():
        return 0
    await context.prefect.ensure_pool()
    async with context.database.write() as session:
        experiments = (await session.scalars(select(Experiment.id))).all()
        for experiment_id in experiments:
            await want(session, WorkKind.EXPERIMENT, experiment_id, now())
    return 1

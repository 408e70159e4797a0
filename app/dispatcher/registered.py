"""Prefect's pools and queues exist; if Prefect was emptied, schedules are put back too."""

from __future__ import annotations

from sqlalchemy import select

from app.clock import now
from app.db.models import Experiment, WorkKind
from app.db.work import want
from app.dispatcher.context import Context
from app.dispatcher.pods import read_template


async def reconcile(context: Context) -> int:
    repaired = 0
    # Not the pool alone: a worker that asks for a queue which is not there is told nothing, and takes nothing.
    if not await context.prefect.has_queues():
        await context.prefect.ensure_pool()
        async with context.database.write() as session:
            experiments = (await session.scalars(select(Experiment.id))).all()
            for experiment_id in experiments:
                await want(session, WorkKind.EXPERIMENT, experiment_id, now())
        repaired += 1
    settings = context.settings
    if settings.pod_isolation:
        template = read_template(settings.prefect.pod_template)
        # Looked at each time: an upgrade of the chart changes the image in it.
        repaired += await context.prefect.ensure_pods_pool(template, settings.pods.concurrency)
    return repaired

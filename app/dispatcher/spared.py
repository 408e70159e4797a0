"""Spared: pods that measure cost more to delete than idle ones, so that scaling down takes the idle first."""

from __future__ import annotations

from sqlalchemy import select

from app.contracts.states import BatchState, DatasetState
from app.db.models import Batch, Dataset
from app.dispatcher.context import Context

BUSY = 100
IDLE = 0


async def reconcile(context: Context) -> int:
    """Best effort: whoever is deleted all the same drains."""
    if context.kubernetes is None:
        return 0
    async with context.database.read() as session:
        busy = set(await session.scalars(select(Batch.worker).where(Batch.state == BatchState.RUNNING)))
        busy |= set(await session.scalars(select(Dataset.worker).where(Dataset.state == DatasetState.PREPARING)))
    changed = 0
    for pod in await context.kubernetes.worker_pods():
        cost = BUSY if pod.name in busy else IDLE
        if pod.deletion_cost != cost and not pod.terminating:
            await context.kubernetes.set_deletion_cost(pod.name, cost)
            changed += 1
    return changed

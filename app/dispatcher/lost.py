"""Lost: the lease of a batch, or of a dataset's preparation, ended without a heartbeat."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from sqlalchemy import select

from app.clock import now
from app.contracts.states import BatchState, DatasetState
from app.datasets.transitions import lose_dataset
from app.db.models import Batch, Dataset
from app.dispatcher.context import Context
from app.runs import transitions
from app.runs.guarded import lock_batch


async def reconcile(context: Context) -> int:
    page = context.settings.dispatcher.page
    moment = now()
    batches = select(Batch.id).where(Batch.state == BatchState.RUNNING, Batch.lease_until < moment).limit(page)
    datasets = (
        select(Dataset.id).where(Dataset.state == DatasetState.PREPARING, Dataset.lease_until < moment).limit(page)
    )
    async with context.database.read() as session:
        batch_ids = (await session.scalars(batches)).all()
        dataset_ids = (await session.scalars(datasets)).all()
    for batch_id in batch_ids:
        with suppress(transitions.Stale):
            await _lose_batch(context, batch_id)
    for dataset_id in dataset_ids:
        with suppress(transitions.Stale):
            await _lose_dataset(context, dataset_id)
    return len(batch_ids) + len(dataset_ids)


async def _lose_batch(context: Context, batch_id: UUID) -> None:
    moment = now()
    async with context.database.write() as session:
        locked = await lock_batch(session, batch_id)
        # A heartbeat may have come between the look and the lock.
        if locked is None or locked[1].lease_until is None or locked[1].lease_until >= moment:
            return
        reason = f"no heartbeat from {locked[1].worker}"
        await transitions.lose(session, locked[1], reason, moment, context.settings.leases.attempts)


async def _lose_dataset(context: Context, dataset_id: UUID) -> None:
    moment = now()
    async with context.database.write() as session:
        dataset = await session.get(Dataset, dataset_id, with_for_update=True)
        if dataset is None or dataset.lease_until is None or dataset.lease_until >= moment:
            return
        reason = f"no heartbeat from {dataset.worker}"
        await lose_dataset(session, dataset, reason, moment, context.settings.datasets.attempts)

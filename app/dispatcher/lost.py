"""Lost: the lease of a batch, or of a dataset's preparation, ended without a heartbeat, while heartbeats were heard."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from sqlalchemy import select

from app.clock import now
from app.contracts.states import BatchState, DatasetState
from app.datasets.transitions import lose_dataset
from app.db.models import Batch, Dataset
from app.dispatcher.context import Context
from app.dispatcher.unreported import adopt_outcome
from app.runs import transitions
from app.runs.guarded import lock_batch
from app.runs.listening import may_expire


async def reconcile(context: Context) -> int:
    """Nothing while the API could not write heartbeats for a whole lease: silence then says nothing."""
    async with context.database.read() as session:
        if not await may_expire(session, now(), context.settings.leases):
            return 0
    return await _lose_batches(context) + await _lose_datasets(context)


async def _lose_batches(context: Context) -> int:
    query = select(Batch).where(Batch.state == BatchState.RUNNING, Batch.lease_until < now())
    async with context.database.read() as session:
        found = await session.scalars(query.order_by(Batch.lease_until).limit(context.settings.dispatcher.page))
        expired: Sequence[Batch] = found.all()
    lost = 0
    for batch in expired:
        if await adopt_outcome(context, batch):
            continue
        with suppress(transitions.Stale):
            lost += await _lose_batch(context, batch)
    return lost


async def _lose_batch(context: Context, expired: Batch) -> bool:
    async with context.database.write() as session:
        locked = await lock_batch(session, expired.id)
        moment = now()
        # All is asked again: a heartbeat may have come since, or this process may have been frozen for a minute.
        if locked is None or locked[1].attempt != expired.attempt or not _is_over(locked[1].lease_until, moment):
            return False
        if not await may_expire(session, moment, context.settings.leases):
            return False
        reason = f"no heartbeat from {locked[1].worker}"
        await transitions.lose(session, locked[1], reason, moment, context.settings.leases.attempts)
        return True


async def _lose_datasets(context: Context) -> int:
    query = select(Dataset).where(Dataset.state == DatasetState.PREPARING, Dataset.lease_until < now())
    async with context.database.read() as session:
        found = await session.scalars(query.order_by(Dataset.lease_until).limit(context.settings.dispatcher.page))
        expired: Sequence[Dataset] = found.all()
    lost = 0
    for dataset in expired:
        with suppress(transitions.Stale):
            lost += await _lose_dataset(context, dataset)
    return lost


async def _lose_dataset(context: Context, expired: Dataset) -> bool:
    async with context.database.write() as session:
        dataset = await session.get(Dataset, expired.id, with_for_update=True)
        moment = now()
        if dataset is None or dataset.attempt != expired.attempt or not _is_over(dataset.lease_until, moment):
            return False
        if not await may_expire(session, moment, context.settings.leases):
            return False
        reason = f"no heartbeat from {dataset.worker}"
        await lose_dataset(session, dataset, reason, moment, context.settings.datasets.attempts)
        return True


def _is_over(lease_until: datetime | None, moment: datetime) -> bool:
    return lease_until is not None and lease_until < moment

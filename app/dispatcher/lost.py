"""Lost: the lease of a batch, or of a dataset's preparation, ended without a heartbeat, while heartbeats were heard."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import now
from app.contracts.states import BatchState, DatasetState
from app.datasets.transitions import lose_dataset
from app.db.models import Batch, Dataset
from app.dispatcher.context import Context
from app.dispatcher.unreported import adopt_outcome
from app.runs import transitions
from app.runs.guarded import lock_batch
from app.runs.listening import may_expire

Leased = TypeVar("Leased", Batch, Dataset)


async def reconcile(context: Context) -> int:
    """Nothing while the API could not write heartbeats for a whole lease: silence then says nothing."""
    async with context.database.read() as session:
        if not await may_expire(session, now(), context.settings.leases):
            return 0
    return await _lose_batches(context) + await _lose_datasets(context)


async def _lose_batches(context: Context) -> int:
    lost = 0
    for batch in await _expired(context, Batch, Batch.state == BatchState.RUNNING):
        if await adopt_outcome(context, batch):
            continue
        with suppress(transitions.Stale):
            lost += await _lose_batch(context, batch)
    return lost


async def _lose_batch(context: Context, expired: Batch) -> bool:
    async with context.database.write() as session:
        locked, moment = await lock_batch(session, expired.id), now()
        if locked is None or not await _is_lost(session, context, locked[1], expired.attempt, moment):
            return False
        reason = f"no heartbeat from {locked[1].worker}"
        await transitions.lose(session, locked[1], reason, moment, context.settings.leases.attempts)
        return True


async def _lose_datasets(context: Context) -> int:
    lost = 0
    for dataset in await _expired(context, Dataset, Dataset.state == DatasetState.PREPARING):
        with suppress(transitions.Stale):
            lost += await _lose_dataset(context, dataset)
    return lost


async def _lose_dataset(context: Context, expired: Dataset) -> bool:
    async with context.database.write() as session:
        dataset, moment = await session.get(Dataset, expired.id, with_for_update=True), now()
        if dataset is None or not await _is_lost(session, context, dataset, expired.attempt, moment):
            return False
        reason = f"no heartbeat from {dataset.worker}"
        await lose_dataset(session, dataset, reason, moment, context.settings.datasets.attempts)
        return True


async def _expired(context: Context, leased: type[Leased], at_work: ColumnElement[bool]) -> Sequence[Leased]:
    """A page of those whose lease is over, the longest silent first."""
    query = select(leased).where(at_work, leased.lease_until < now()).order_by(leased.lease_until)
    async with context.database.read() as session:
        return (await session.scalars(query.limit(context.settings.dispatcher.page))).all()


async def _is_lost(
    session: AsyncSession, context: Context, locked: Batch | Dataset, attempt: int, moment: datetime
) -> bool:
    """All is asked again: a heartbeat may have come since, or this process may have been frozen for a minute."""
    if locked.attempt != attempt or locked.lease_until is None or locked.lease_until >= moment:
        return False
    return await may_expire(session, moment, context.settings.leases)

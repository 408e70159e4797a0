"""Orphaned: SparkApplications whose attempt at a batch is over."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from app.contracts.states import BatchState
from app.db.models import Batch
from app.dispatcher.context import Context
from app.gateways.kubernetes import SparkApplicationRef

ENDED = frozenset({"COMPLETED", "FAILED"})
"""Those keep their logs until the operator's time to live has passed."""


async def reconcile(context: Context) -> int:
    if context.kubernetes is None:
        return 0
    alive = [one for one in await context.kubernetes.spark_applications() if one.state not in ENDED]
    if not alive:
        return 0
    query = select(Batch.id, Batch.attempt).where(
        Batch.id.in_([UUID(one.batch_id) for one in alive]), Batch.state == BatchState.RUNNING
    )
    async with context.database.read() as session:
        wanted = {(row.id, row.attempt) for row in await session.execute(query)}
    orphans = [one for one in alive if not _is_wanted(one, wanted)]
    for orphan in orphans:
        await context.kubernetes.delete_spark_application(orphan.name)
    return len(orphans)


def _is_wanted(application: SparkApplicationRef, wanted: set[tuple[UUID, int]]) -> bool:
    return (UUID(application.batch_id), application.attempt) in wanted

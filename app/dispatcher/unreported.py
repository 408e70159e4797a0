"""Finished but unreported: the outcome lies in the store, the report never came."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import structlog
from pydantic import ValidationError
from sqlalchemy import select

from app.clock import now
from app.contracts.measurement import BatchReport
from app.contracts.objects import ObjectMissingError, outcome_key
from app.contracts.states import BatchState
from app.db.models import Batch
from app.dispatcher.context import Context
from app.runs import transitions

log = structlog.get_logger()
SILENT_BEATS = 3
"""Missed heartbeats after which a batch is silent. Far less than a lease: adopting an outcome early does no harm,
since reporting is idempotent."""


async def reconcile(context: Context) -> int:
    """The longest silent first: those that are alive after all are heard again and make room for others."""
    leases = context.settings.leases
    silent_since = now() + timedelta(seconds=leases.lease_seconds - SILENT_BEATS * leases.heartbeat_seconds)
    query = (
        select(Batch)
        .where(Batch.state == BatchState.RUNNING, Batch.lease_until < silent_since)
        .order_by(Batch.lease_until)
        .limit(context.settings.dispatcher.page)
    )
    async with context.database.read() as session:
        silent = (await session.scalars(query)).all()
    return sum([await adopt_outcome(context, batch) for batch in silent])


async def adopt_outcome(context: Context, batch: Batch) -> bool:
    """Whether this attempt's outcome lay in the store, and is in the rows now. To be asked before a batch is called
    lost, whatever the evidence: its worker may have died after it had done everything.

    Raises StoreUnavailableError: then nobody knows, and nothing may be decided.
    """
    if batch.state is not BatchState.RUNNING:
        return False
    report = await _outcome(context, batch)
    if report is None:
        return False
    with suppress(transitions.Stale):  # reported meanwhile, or by another dispatcher
        async with context.database.write() as session:
            await transitions.apply_report(session, batch, report, now(), context.settings.queues)
    return True


async def _outcome(context: Context, batch: Batch) -> BatchReport | None:
    key = outcome_key(batch.run_id, batch.id, batch.attempt)
    try:
        report = BatchReport.model_validate_json(await asyncio.to_thread(context.objects.get, key))
    except ObjectMissingError:
        return None
    except ValidationError as error:
        log.warning("outcome unreadable, the batch is measured again", key=key, error=str(error))
        return None
    return report if (report.batch_id, report.attempt) == (batch.id, batch.attempt) else None

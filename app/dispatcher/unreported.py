"""Finished but unreported: the outcome lies in the store, the report never came."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from pydantic import ValidationError
from sqlalchemy import select

from app.clock import now
from app.contracts.measurement import BatchReport
from app.contracts.objects import ObjectMissingError, outcome_key
from app.contracts.states import BatchState
from app.db.models import Batch
from app.dispatcher.context import Context
from app.runs import transitions

SILENT_BEATS = 3
"""Missed heartbeats after which a batch is silent. Far less than a lease: adopting an outcome early does no harm,
since reporting is idempotent."""


async def reconcile(context: Context) -> int:
    leases = context.settings.leases
    silent_since = now() + timedelta(seconds=leases.lease_seconds - SILENT_BEATS * leases.heartbeat_seconds)
    query = (
        select(Batch)
        .where(Batch.state == BatchState.RUNNING, Batch.lease_until < silent_since)
        .limit(context.settings.dispatcher.page)
    )
    async with context.database.read() as session:
        silent = (await session.scalars(query)).all()
    adopted = 0
    for batch in silent:
        report = await _outcome(context, batch)
        if report is None:
            continue
        with suppress(transitions.Stale):
            async with context.database.write() as session:
                await transitions.apply_report(session, batch, report, now(), context.settings.queues)
            adopted += 1
    return adopted


async def _outcome(context: Context, batch: Batch) -> BatchReport | None:
    key = outcome_key(batch.run_id, batch.id, batch.attempt)
    try:
        return BatchReport.model_validate_json(await asyncio.to_thread(context.objects.get, key))
    except (ObjectMissingError, ValidationError):
        return None

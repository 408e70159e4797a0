"""Runs the reconcilers, each in its own rhythm, and gives leases time after an outage of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy import text

from app.clock import now
from app.dispatcher import lost, registered, stuck, unreported
from app.dispatcher.context import Context

log = structlog.get_logger()
Reconciler = Callable[[Context], Awaitable[int]]


class LeaseGuard:
    """Leases may end only while heartbeats could be heard: not within one lease of an outage of ours.

    An outage is a gap between two successful looks at the database, the time before the start included.
    """

    def __init__(self, context: Context) -> None:
        self._lease = timedelta(seconds=context.settings.leases.lease_seconds)
        self._gap = timedelta(seconds=max(3 * context.settings.dispatcher.reconcile_seconds, 5.0))
        self._seen = now()
        self._trusted_from = self._seen + self._lease

    def look(self, moment: datetime) -> bool:
        if moment - self._seen > self._gap:
            self._trusted_from = moment + self._lease
        self._seen = moment
        return moment >= self._trusted_from


async def run(context: Context) -> None:
    """Until cancelled. A reconciler that fails is tried again at its next turn."""
    guard = LeaseGuard(context)
    while True:
        await _turn("registered", registered.reconcile, context)
        if await _database_answers(context):
            await _turn("unreported", unreported.reconcile, context)
            await _turn("stuck", stuck.reconcile, context)
            if guard.look(now()):
                await _turn("lost", lost.reconcile, context)
        await asyncio.sleep(context.settings.dispatcher.reconcile_seconds)


async def _turn(name: str, reconcile: Reconciler, context: Context) -> None:
    try:
        repaired = await reconcile(context)
    except Exception as error:  # what it depends on is away; the next turn sees
        log.warning("reconciler failed", reconciler=name, error=repr(error))
        return
    if repaired:
        log.info("reconciled", reconciler=name, repaired=repaired)


async def _database_answers(context: Context) -> bool:
    try:
        async with context.database.read() as session:
            await session.execute(text("SELECT 1"))
    except Exception as error:
        log.warning("database does not answer", error=repr(error))
        return False
    return True

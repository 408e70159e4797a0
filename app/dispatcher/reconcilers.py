"""Runs the reconcilers, each in its own rhythm, and gives leases time after an outage of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy import text

from app.clock import now
from app.dispatcher import departed, lost, orphaned, registered, spared, stuck, unreported
from app.dispatcher.context import Context
from app.dispatcher.gone import GoneWorkers
from app.dispatcher.pulse import Pulse

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


async def run(context: Context, pulse: Pulse) -> None:
    """Until cancelled. A reconciler that fails is tried again at its next turn."""
    guard = LeaseGuard(context)
    # What lies in the store is adopted before anything is called lost.
    always: dict[str, Reconciler] = {
        "unreported": unreported.reconcile,
        "gone": GoneWorkers().reconcile,
        "stuck": stuck.reconcile,
        "spared": spared.reconcile,
        "orphaned": orphaned.reconcile,
        "departed": departed.reconcile,
    }
    while True:
        await _turn("registered", registered.reconcile, context, pulse)
        if await _database_answers(context):
            for name, reconcile in always.items():
                await _turn(name, reconcile, context, pulse)
            if guard.look(now()):
                await _turn("lost", lost.reconcile, context, pulse)
        await asyncio.sleep(context.settings.dispatcher.reconcile_seconds)


async def _turn(name: str, reconcile: Reconciler, context: Context, pulse: Pulse) -> None:
    pulse.beat("reconcilers")
    try:
        repaired = await reconcile(context)
    except Exception as error:  # what it depends on is away; the next turn sees
        pulse.failed.labels(name).inc()
        log.warning("reconciler failed", reconciler=name, error=repr(error))
        return
    if repaired:
        pulse.repaired.labels(name).inc(repaired)
        log.info("reconciled", reconciler=name, repaired=repaired)


async def _database_answers(context: Context) -> bool:
    try:
        async with context.database.read() as session:
            await session.execute(text("SELECT 1"))
    except Exception as error:
        log.warning("database does not answer", error=repr(error))
        return False
    return True

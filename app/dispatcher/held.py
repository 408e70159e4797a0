"""Held: rows locked by a process that hangs between two messages of one statement, which PostgreSQL has no limit for.

Its limits of statements and idle transactions leave out a session that has sent a statement to be parsed and waits for
its client to have it executed: a frozen dispatcher would keep a run from everybody else until it wakes.
"""

from __future__ import annotations

from sqlalchemy import text

from app.db.engine import APPLICATION
from app.dispatcher.context import Context

_END = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND usename = current_user AND application_name = :application"
    " AND state = 'active' AND wait_event = 'ClientRead' AND query_start < now() - make_interval(secs => :seconds)"
)


async def reconcile(context: Context) -> int:
    """Such sessions of ours are ended; the process finds its connection closed when it wakes."""
    if context.database.is_sqlite:
        return 0
    seconds = context.settings.database.idle_seconds
    async with context.database.read() as session:
        ended = await session.scalars(_END, {"application": APPLICATION, "seconds": seconds})
        return sum(bool(one) for one in ended)

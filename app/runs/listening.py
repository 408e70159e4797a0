"""Heartbeats that nobody could write say nothing of those who sent them, so leases end only while an API listens.

Every API says so in a row of the database, over the connections that heartbeats take. Whatever keeps heartbeats from
being written (the database away, its network away for the API alone, no API at all) keeps this row from being
written too, and whoever looks at it later sees the gap: a dispatcher needs no memory of its own (ADR 0014).
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import structlog
from sqlalchemy import case, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import now
from app.db.engine import Database
from app.db.models import Listening
from app.settings import LeaseSettings

log = structlog.get_logger()
_ONLY = 1
_LIMIT_SECONDS = 5.0  # of one try; the next one is another


async def listen(database: Database, leases: LeaseSettings) -> None:
    """Say so at each interval of heartbeats, until cancelled."""
    while True:
        try:
            async with asyncio.timeout(_LIMIT_SECONDS), database.write() as session:
                await heard(session, now(), leases)
        except Exception as error:  # the database is away: that is what the gap tells
            log.warning("heartbeats cannot be written", error=repr(error))
        await asyncio.sleep(leases.heartbeat_seconds)


async def heard(session: AsyncSession, moment: datetime, leases: LeaseSettings) -> None:
    """Heartbeats can be written at `moment`; after a gap that matters, their time begins anew."""
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert(Listening) if dialect == "postgresql" else sqlite.insert(Listening)
    interrupted = Listening.last_at < moment - _gap(leases)
    later = func.greatest if dialect == "postgresql" else func.max
    await session.execute(
        insert.values(id=_ONLY, since=moment, last_at=moment).on_conflict_do_update(
            index_elements=[Listening.id],
            set_={
                "since": case((interrupted, insert.excluded.since), else_=Listening.since),
                "last_at": later(Listening.last_at, insert.excluded.last_at),
            },
        )
    )


async def may_expire(session: AsyncSession, moment: datetime, leases: LeaseSettings) -> bool:
    """Whether every worker that lives could be heard for a whole lease before `moment`."""
    row = await session.get(Listening, _ONLY, populate_existing=True)
    if row is None:
        return False
    whole = timedelta(seconds=leases.lease_seconds)
    return row.since <= moment - whole and row.last_at >= moment - _gap(leases)


def _gap(leases: LeaseSettings) -> timedelta:
    """A third of a lease: a worker that was not heard for that long is heard again before its lease ends."""
    return timedelta(seconds=leases.lease_seconds / 3)

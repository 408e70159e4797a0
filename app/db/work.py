"""Work rows: wish for an entity's wanted state, lease what is due, settle it (ADR 0001)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import CursorResult, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.engine import request_wake
from app.db.models import Work, WorkKind


@dataclass(frozen=True)
class LeasedWork:
    kind: WorkKind
    entity_id: UUID
    generation: int
    attempts: int


async def want(session: AsyncSession, kind: WorkKind, entity_id: UUID, due_at: datetime) -> None:
    """Ask for `entity_id` to be looked at by `due_at`. Asking twice is asking once."""
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert(Work) if dialect == "postgresql" else sqlite.insert(Work)
    row = insert.values(kind=kind, entity_id=entity_id, due_at=due_at, generation=1, attempts=0)
    await session.execute(
        row.on_conflict_do_update(
            index_elements=[Work.kind, Work.entity_id],
            set_={"due_at": due_at, "generation": Work.generation + 1, "attempts": 0},
        )
    )
    request_wake(session)


async def lease_due(
    session: AsyncSession, owner: str, now: datetime, lease: timedelta, limit: int
) -> Sequence[LeasedWork]:
    """Take up to `limit` due rows for `owner`. Rows leased by somebody else are left alone until their lease ends."""
    free = or_(Work.leased_until.is_(None), Work.leased_until < now)
    due = (
        await session.scalars(
            select(Work)
            .where(Work.due_at <= now, free)
            .order_by(Work.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    ).all()
    for row in due:
        row.leased_by, row.leased_until = owner, now + lease
    return [LeasedWork(row.kind, row.entity_id, row.generation, row.attempts) for row in due]


async def settle(session: AsyncSession, work: LeasedWork, owner: str, again_at: datetime | None = None) -> None:
    """The entity is as wanted: the row goes, unless a newer wish came meanwhile or it is to be seen again later."""
    mine = (Work.kind == work.kind, Work.entity_id == work.entity_id, Work.leased_by == owner)
    same = Work.generation == work.generation
    if again_at is None:
        outcome = cast("CursorResult[object]", await session.execute(delete(Work).where(*mine, same)))
    else:
        later = update(Work).where(*mine, same).values(due_at=again_at, leased_by=None, leased_until=None, attempts=0)
        outcome = cast("CursorResult[object]", await session.execute(later))
    if outcome.rowcount == 0:
        await session.execute(update(Work).where(*mine).values(leased_by=None, leased_until=None))


async def postpone(session: AsyncSession, work: LeasedWork, owner: str, due_at: datetime, error: str) -> None:
    """It did not work this time; `error` is kept for operators."""
    await session.execute(
        update(Work)
        .where(Work.kind == work.kind, Work.entity_id == work.entity_id, Work.leased_by == owner)
        .values(due_at=due_at, attempts=Work.attempts + 1, leased_by=None, leased_until=None, last_error=error[:2000])
    )

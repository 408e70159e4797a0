"""Work rows: wish for an entity's wanted state, lease what is due, settle it (ADR 0001)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, Select, delete, literal, or_, select, true, update
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
    leased_until: datetime


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


async def want_each(session: AsyncSession, kind: WorkKind, entities: Select[tuple[UUID]], due_at: datetime) -> None:
    """`want` for each of `entities`, in one statement."""
    dialect = session.get_bind().dialect.name
    insert = postgresql.insert(Work) if dialect == "postgresql" else sqlite.insert(Work)
    # SQLite cannot tell ON CONFLICT from the ON of a join unless the SELECT has a WHERE.
    rows = select(
        literal(kind, Work.kind.type),
        entities.subquery().c[0],
        literal(due_at, Work.due_at.type),
        literal(1),
        literal(0),
    ).where(true())
    statement = insert.from_select(["kind", "entity_id", "due_at", "generation", "attempts"], rows)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[Work.kind, Work.entity_id],
            set_={"due_at": due_at, "generation": Work.generation + 1, "attempts": 0},
        )
    )
    request_wake(session)


async def lease_due(  # noqa: PLR0917 - each of another kind
    session: AsyncSession, owner: str, now: datetime, lease: timedelta, kinds: Collection[WorkKind], limit: int
) -> Sequence[LeasedWork]:
    """Take up to `limit` due rows of `kinds` for `owner`. What somebody else leased is left alone until that ends."""
    free = or_(Work.leased_until.is_(None), Work.leased_until < now)
    due = (
        await session.scalars(
            select(Work)
            .where(Work.due_at <= now, free, Work.kind.in_(kinds))
            .order_by(Work.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    ).all()
    until = now + lease
    for row in due:
        row.leased_by, row.leased_until = owner, until
    return [LeasedWork(row.kind, row.entity_id, row.generation, row.attempts, until) for row in due]


async def settle(session: AsyncSession, work: LeasedWork, owner: str, again_at: datetime | None = None) -> None:
    """The entity is as wanted: the row goes, unless a newer wish came meanwhile or it is to be seen again later."""
    mine = _held(work, owner)
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
        .where(*_held(work, owner))
        .values(due_at=due_at, attempts=Work.attempts + 1, leased_by=None, leased_until=None, last_error=error[:2000])
    )


def _held(work: LeasedWork, owner: str) -> tuple[ColumnElement[bool], ...]:
    """By this very lease: a process that was frozen may have taken the row a second time."""
    return (
        Work.kind == work.kind,
        Work.entity_id == work.entity_id,
        Work.leased_by == owner,
        Work.leased_until == work.leased_until,
    )

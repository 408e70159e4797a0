"""Events of a run: what happened, in words for people."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import new_id
from app.db.models import Event

BATCH_CLAIMED = "batch_claimed"
BATCH_RELEASED = "batch_released"
TRIAL_BLAMED = "trial_oom_killed"


def record(session: AsyncSession, run_id: UUID, at: datetime, kind: str, message: str, **data: Any) -> None:
    session.add(Event(id=new_id(), run_id=run_id, at=at, kind=kind, message=message[:4_000], data=data))


async def record_once(
    session: AsyncSession, run_id: UUID, at: datetime, kind: str, message: str, *, about: dict[str, Any], **data: Any
) -> bool:
    """Unless the run has an event of this kind `about` the same. Answers whether it had none. Lock the run before."""
    known = await session.scalars(select(Event.data).where(Event.run_id == run_id, Event.kind == kind))
    if any(about.items() <= found.items() for found in known):
        return False
    record(session, run_id, at, kind, message, **about, **data)
    return True


async def uncounted(session: AsyncSession, run_id: UUID, batch_id: UUID) -> int:
    """How many attempts of the batch say nothing against it: its worker drained, or one trial was to blame."""
    kinds = (BATCH_RELEASED, TRIAL_BLAMED)
    events = await session.scalars(select(Event.data).where(Event.run_id == run_id, Event.kind.in_(kinds)))
    return sum(data.get("batch_id") == str(batch_id) for data in events)

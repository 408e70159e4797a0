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


def record(session: AsyncSession, run_id: UUID, at: datetime, kind: str, message: str, **data: Any) -> None:
    session.add(Event(id=new_id(), run_id=run_id, at=at, kind=kind, message=message[:4_000], data=data))


async def releases(session: AsyncSession, run_id: UUID, batch_id: UUID) -> int:
    """How many attempts of the batch ended because its worker drained."""
    events = await session.scalars(select(Event.data).where(Event.run_id == run_id, Event.kind == BATCH_RELEASED))
    return sum(data.get("batch_id") == str(batch_id) for data in events)

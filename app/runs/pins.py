"""A pinned run stays, with its manifests and artifacts, until somebody unpins it or deletes its experiment."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.views import RunView
from app.problems import not_found
from app.runs import service
from app.runs.events import record
from app.runs.guarded import Stale, change_run, lock_run


async def set_pinned(session: AsyncSession, run_id: UUID, pinned: bool, now: datetime) -> RunView:
    """Doing it twice is doing it once. Raises RefusedError not_found."""
    try:
        run = await lock_run(session, run_id)
    except Stale:
        raise not_found("run", run_id) from None
    if run.pinned is not pinned:
        await change_run(session, run, pinned=pinned)
        word = "pinned" if pinned else "unpinned"
        record(session, run_id, now, f"run_{word}", f"the run was {word}")
    return await service.get(session, run_id)

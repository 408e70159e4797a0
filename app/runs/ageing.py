"""Which runs have grown old, and what becomes of each: in one transaction, with the run locked.

What lies in the object store is taken away by a work row afterwards, so no row ever refers to what is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.contracts.states import RunState, RunTrigger
from app.db.models import Run, Trial, WorkKind
from app.db.work import want
from app.domain.retention import Fate, Rules, RunFacts, fate
from app.runs.events import record
from app.runs.guarded import Stale, change_run, lock_run

RESULTS = (RunState.SUCCEEDED, RunState.PARTIAL)


async def grown_old(session: AsyncSession, rules: Rules, now: datetime, limit: int) -> Sequence[UUID]:
    """Up to `limit` runs of each rule that it may apply to; oldest first."""
    queries = [
        *([_previews(_before(now, rules.previews_days))] if rules.previews_days else []),
        *([_measurements(_before(now, rules.runs_days))] if rules.runs_days else []),
        *([_surplus(rules.runs_per_experiment)] if rules.runs_per_experiment else []),
        *([_with_artifacts(_before(now, rules.artifacts_days))] if rules.artifacts_days else []),
    ]
    found: dict[UUID, None] = {}
    for query in queries:
        found.update(dict.fromkeys(await session.scalars(query.order_by(Run.finished_at).limit(limit))))
    return list(found)


async def age(session: AsyncSession, run_id: UUID, rules: Rules, now: datetime, objects_due: datetime) -> Fate:
    """Do with the run what the rules say of it now. Objects of a run that goes are deleted from `objects_due` on."""
    try:
        # Exclusively: who reuses a result holds the run until the copy can be seen.
        run = await lock_run(session, run_id)
    except Stale:
        return Fate.STAYS
    decided = fate(await facts(session, run), rules, now)
    if decided is Fate.GOES:
        await session.execute(delete(Run).where(Run.id == run_id))
        await want(session, WorkKind.RUN_OBJECTS, run_id, objects_due)
    elif decided is Fate.LOSES_ARTIFACTS:
        await change_run(session, run, artifacts_deleted_at=now)
        record(session, run_id, now, "artifacts_deleted", "labels and rounds were deleted, manifests stay")
        await want(session, WorkKind.RUN_OBJECTS, run_id, now)
    return decided


async def facts(session: AsyncSession, run: Run) -> RunFacts:
    later = (Run.experiment_id == run.experiment_id, Run.id > run.id, Run.trigger != RunTrigger.PREVIEW)
    ended = (*later, Run.finished_at.is_not(None), Run.pinned.is_(False))
    newer = await session.scalar(select(func.count()).select_from(Run).where(*ended))
    newer_result = await session.scalar(select(exists().where(*later, Run.state.in_(RESULTS))))
    return RunFacts(
        finished_at=run.finished_at,
        is_preview=run.trigger is RunTrigger.PREVIEW,
        is_pinned=run.pinned,
        has_artifacts=run.artifacts_deleted_at is None,
        is_referred=await is_referred(session, run.id),
        is_referred_with_artifacts=await is_referred(session, run.id, with_artifacts=True),
        is_newest_result=run.state in RESULTS and not newer_result,
        newer=newer or 0,
    )


async def is_referred(session: AsyncSession, run_id: UUID, with_artifacts: bool = False) -> bool:
    """Whether another run has reused a result of this one, which may be gone itself."""
    copies = select(Trial.id).where(Trial.reused_run_id == run_id, Trial.run_id != run_id)
    if with_artifacts:
        copies = copies.join(Run, Run.id == Trial.run_id).where(Run.artifacts_deleted_at.is_(None))
    return await session.scalar(copies.limit(1)) is not None


def _previews(before: datetime) -> Select[tuple[UUID]]:
    return _ended().where(Run.trigger == RunTrigger.PREVIEW, Run.finished_at < before, ~_referred())


def _measurements(before: datetime) -> Select[tuple[UUID]]:
    return _ended().where(Run.trigger != RunTrigger.PREVIEW, Run.finished_at < before, ~_referred(), _superseded())


def _surplus(kept: int) -> Select[tuple[UUID]]:
    place = func.row_number().over(partition_by=Run.experiment_id, order_by=Run.id.desc()).label("place")
    ranked = (
        select(Run.id, place)
        .where(Run.finished_at.is_not(None), Run.pinned.is_(False), Run.trigger != RunTrigger.PREVIEW)
        .subquery()
    )
    joined = _ended().join(ranked, ranked.c.id == Run.id)
    return joined.where(ranked.c.place > kept, ~_referred(), _superseded())


def _with_artifacts(before: datetime) -> Select[tuple[UUID]]:
    gone = Run.artifacts_deleted_at.is_(None)
    return _ended().where(gone, Run.finished_at < before, ~_referred(with_artifacts=True))


def _ended() -> Select[tuple[UUID]]:
    return select(Run.id).where(Run.finished_at.is_not(None), Run.pinned.is_(False))


def _referred(with_artifacts: bool = False) -> ColumnElement[bool]:
    # Here and not in `fate` alone: pages full of runs that have to stay would hide those behind them.
    copy = aliased(Trial)
    refers = (copy.reused_run_id == Run.id, copy.run_id != Run.id)
    if not with_artifacts:
        return exists().where(*refers)
    holder = aliased(Run)
    return exists().where(*refers, holder.id == copy.run_id, holder.artifacts_deleted_at.is_(None))


def _superseded() -> ColumnElement[bool]:
    later = aliased(Run)
    newer_result = exists().where(
        later.experiment_id == Run.experiment_id,
        later.id > Run.id,
        later.trigger != RunTrigger.PREVIEW,
        later.state.in_(RESULTS),
    )
    return or_(Run.state.not_in(RESULTS), newer_result)


def _before(now: datetime, days: int) -> datetime:
    return now - timedelta(days=days)

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.states import RunTrigger
from app.db.models import Experiment, Run

Found = Row[tuple[Experiment, UUID | None]]


async def find(session: AsyncSession, id_or_name: UUID | str) -> Found | None:
    return (await session.execute(_with_latest_run().where(_is(id_or_name)))).first()


async def lock(session: AsyncSession, id_or_name: UUID | str) -> Experiment | None:
    """Locked, so that deleting it and starting a run of it cannot cross."""
    found: Experiment | None = await session.scalar(select(Experiment).where(_is(id_or_name)).with_for_update())
    return found


async def newest(session: AsyncSession, after: UUID | None, limit: int) -> Sequence[Found]:
    query = _with_latest_run().order_by(Experiment.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Experiment.id < after)
    return (await session.execute(query)).all()


async def name_is_taken(session: AsyncSession, name: str) -> bool:
    return await session.scalar(select(Experiment.id).where(Experiment.name == name)) is not None


def _with_latest_run() -> Select[tuple[Experiment, UUID | None]]:
    # A preview is no measurement, so nobody who asks for an experiment's result is given one.
    latest = (
        select(Run.id)
        .where(Run.experiment_id == Experiment.id, Run.trigger != RunTrigger.PREVIEW)
        .order_by(Run.id.desc())
        .limit(1)
        .correlate(Experiment)
        .scalar_subquery()
    )
    return select(Experiment, latest)


def _is(id_or_name: UUID | str) -> ColumnElement[bool]:
    return Experiment.id == id_or_name if isinstance(id_or_name, UUID) else Experiment.name == id_or_name

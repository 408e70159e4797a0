from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from app.contracts.states import RunState, TrialState
from app.db.models import Batch, Event, Experiment, Run, Trial
from app.domain import lifecycle
from app.runs.events import BATCH_CLAIMED

Named = Row[tuple[Run, str]]
ENDED = [state for state in RunState if lifecycle.is_terminal(lifecycle.RUN, state)]


async def find(session: AsyncSession, run_id: UUID) -> Named | None:
    return (await session.execute(_named().where(Run.id == run_id))).first()


async def newest(
    session: AsyncSession, after: UUID | None, limit: int, experiment_id: UUID | None, states: Sequence[RunState]
) -> Sequence[Named]:
    query = _named().order_by(Run.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Run.id < after)
    if experiment_id is not None:
        query = query.where(Run.experiment_id == experiment_id)
    if states:
        query = query.where(Run.state.in_(states))
    return (await session.execute(query)).all()


async def experiment_id(session: AsyncSession, id_or_name: UUID | str) -> UUID | None:
    column = Experiment.id if isinstance(id_or_name, UUID) else Experiment.name
    found: UUID | None = await session.scalar(select(Experiment.id).where(column == id_or_name))
    return found


async def unfinished(session: AsyncSession, of_experiment: UUID) -> UUID | None:
    query = select(Run.id).where(Run.experiment_id == of_experiment, Run.state.not_in(ENDED)).limit(1)
    found: UUID | None = await session.scalar(query)
    return found


async def trial_counts(session: AsyncSession, run_ids: Sequence[UUID]) -> dict[UUID, list[tuple[TrialState, int, int]]]:
    """By run: state, number of trials in it, number of reused ones among them."""
    query = (
        select(Trial.run_id, Trial.state, func.count(), func.count(Trial.reused_from))
        .where(Trial.run_id.in_(run_ids))
        .group_by(Trial.run_id, Trial.state)
    )
    counts: dict[UUID, list[tuple[TrialState, int, int]]] = {run_id: [] for run_id in run_ids}
    for run_id, state, number, reused in await session.execute(query):
        counts[run_id].append((state, number, reused))
    return counts


async def trials(
    session: AsyncSession, run_id: UUID, after_position: int, limit: int, measured: bool = False
) -> Sequence[Trial]:
    """`measured`: with manifests and samples, which are large."""
    query = (
        select(Trial)
        .where(Trial.run_id == run_id, Trial.position > after_position)
        .order_by(Trial.position)
        .limit(limit)
    )
    if measured:
        query = query.options(undefer(Trial.manifest), undefer(Trial.samples))
    return (await session.scalars(query)).all()


async def batches(session: AsyncSession, run_id: UUID, after_position: int, limit: int) -> Sequence[Batch]:
    query = (
        select(Batch)
        .where(Batch.run_id == run_id, Batch.position > after_position)
        .order_by(Batch.position)
        .limit(limit)
    )
    return (await session.scalars(query)).all()


async def trial_ids(session: AsyncSession, batch_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    query = select(Trial.batch_id, Trial.id).where(Trial.batch_id.in_(batch_ids)).order_by(Trial.position)
    found: dict[UUID, list[UUID]] = {batch_id: [] for batch_id in batch_ids}
    for batch_id, trial_id in await session.execute(query):
        found[cast("UUID", batch_id)].append(trial_id)
    return found


async def events(session: AsyncSession, run_id: UUID, before: UUID | None, limit: int) -> Sequence[Event]:
    query = select(Event).where(Event.run_id == run_id).order_by(Event.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Event.id < before)
    return (await session.scalars(query)).all()


async def flow_run_ids(session: AsyncSession, run_id: UUID, limit: int) -> list[str]:
    """Of the newest attempts, those that are over included."""
    claims = await session.scalars(
        select(Event.data)
        .where(Event.run_id == run_id, Event.kind == BATCH_CLAIMED)
        .order_by(Event.id.desc())
        .limit(limit)
    )
    running = await session.scalars(
        select(Batch.flow_run_id).where(Batch.run_id == run_id, Batch.flow_run_id.is_not(None)).limit(limit)
    )
    found: list[Any] = [*[data.get("flow_run_id") for data in claims], *running]
    return list(dict.fromkeys(str(one) for one in found if one))[:limit]


def _named() -> Select[tuple[Run, str]]:
    return select(Run, Experiment.name).join(Experiment, Experiment.id == Run.experiment_id)

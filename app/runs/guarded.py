"""The one way a row of a run changes: an UPDATE that names the state it was decided on (design.md, fencing)."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.states import BatchState, RunState, TrialState
from app.db.models import Batch, Run, Trial
from app.domain import lifecycle


class Stale(Exception):  # noqa: N818 - a fact about the writer, not a malfunction
    """The row is not (any more) as the writer believed; whatever was to be written is void."""


async def lock_run(session: AsyncSession, run_id: UUID) -> Run:
    """The run, locked until the end of the transaction. Every writer takes it before any row below it, so that two
    of them can neither wait for each other nor roll the run up from what they cannot see of each other."""
    run = await session.get(Run, run_id, with_for_update=True, populate_existing=True)
    if run is None:
        raise Stale(f"run {run_id} is gone")
    return run


async def lock_batch(session: AsyncSession, batch_id: UUID) -> tuple[Run, Batch] | None:
    """The batch and its run, locked in the order that all writers keep; None if there is no such batch."""
    run_id = await session.scalar(select(Batch.run_id).where(Batch.id == batch_id))
    if run_id is None:
        return None
    run = await lock_run(session, run_id)
    batch = await session.get(Batch, batch_id, with_for_update=True, populate_existing=True)
    return None if batch is None else (run, batch)


async def change_batch(session: AsyncSession, batch: Batch, **values: Any) -> None:
    """Write `values` if the batch is still as `batch` says. Raises Stale, also for a transition that is not allowed."""
    following: BatchState | None = values.get("state")
    if (
        following is not None
        and following is not batch.state
        and not lifecycle.may(lifecycle.BATCH, batch.state, following)
    ):
        raise Stale(f"batch {batch.id} is {batch.state} and cannot become {following}")
    unchanged = (Batch.id == batch.id, Batch.attempt == batch.attempt, Batch.version == batch.version)
    statement = update(Batch).where(*unchanged).values(version=batch.version + 1, **values)
    await _exactly_one(session, statement, f"batch {batch.id}, attempt {batch.attempt}")


async def change_run(session: AsyncSession, run: Run, **values: Any) -> None:
    following: RunState | None = values.get("state")
    if following is not None and following is not run.state and not lifecycle.may(lifecycle.RUN, run.state, following):
        raise Stale(f"run {run.id} is {run.state} and cannot become {following}")
    statement = (
        update(Run).where(Run.id == run.id, Run.version == run.version).values(version=run.version + 1, **values)
    )
    await _exactly_one(session, statement, f"run {run.id}")


async def change_trial(session: AsyncSession, trial: Trial, **values: Any) -> None:
    following: TrialState | None = values.get("state")
    if (
        following is not None
        and following is not trial.state
        and not lifecycle.may(lifecycle.TRIAL, trial.state, following)
    ):
        raise Stale(f"trial {trial.id} is {trial.state} and cannot become {following}")
    statement = (
        update(Trial)
        .where(Trial.id == trial.id, Trial.version == trial.version)
        .values(version=trial.version + 1, **values)
    )
    await _exactly_one(session, statement, f"trial {trial.id}")


async def change_open_trials(session: AsyncSession, batch_id: UUID, following: TrialState, **values: Any) -> None:
    """Move every trial of the batch that may become `following`; the others have ended and stay."""
    before = lifecycle.predecessors(lifecycle.TRIAL, following)
    await session.execute(
        update(Trial)
        .where(Trial.batch_id == batch_id, Trial.state.in_(before))
        .values(state=following, version=Trial.version + 1, **values)
        .execution_options(synchronize_session="fetch")
    )


async def _exactly_one(session: AsyncSession, statement: Any, what: str) -> None:
    outcome = cast(
        "CursorResult[Any]",
        await session.execute(statement.execution_options(synchronize_session="evaluate")),
    )
    if outcome.rowcount != 1:
        raise Stale(f"{what} was changed by somebody else")

"""The kernel ended a worker for its memory while one trial was measured: that trial moves on, the others go on."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.failures import Failure, FailureCode
from app.contracts.states import BatchState, QueueName, TrialState
from app.db.models import Batch, Trial
from app.runs import transitions
from app.runs.events import TRIAL_BLAMED, record
from app.runs.guarded import change_trial, lock_run
from app.runs.outcomes import memory_retry

OPEN = (TrialState.PENDING, TrialState.RUNNING)


async def blame(
    session: AsyncSession,
    batch: Batch,
    trial_id: UUID,
    failure: Failure,
    now: datetime,
    *,
    queues: Collection[QueueName],
    attempts: int,
) -> None:
    """The attempt ended by what `trial_id` took. It goes where there is more memory, once, or fails with `failure`;
    the other trials of the batch wait for the next attempt, which this one does not count against.

    Where that trial is not open in this batch (any more), the attempt is lost like any other. Raises Stale.
    """
    run = await lock_run(session, batch.run_id)
    trial = await session.get(Trial, trial_id, with_for_update=True, populate_existing=True)
    is_open = trial is not None and trial.batch_id == batch.id and trial.state in OPEN
    if run.cancel_requested or batch.state is not BatchState.RUNNING or trial is None or not is_open:
        await transitions.lose(
            session, batch, failure.message, now, attempts, code=FailureCode.OOM_KILLED, hint=failure.hint
        )
        return
    again = memory_retry(FailureCode.OOM_KILLED, run, batch, queues)
    where = f"batch {batch.position}, attempt {batch.attempt}: {failure.message} while {trial.label} was measured"
    record(
        session, run.id, now, TRIAL_BLAMED, f"{where}; {again.reason if again else 'no queue is larger'}",
        batch_id=str(batch.id), attempt=batch.attempt, trial_id=str(trial.id),
        code=failure.code.value, hint=failure.hint,
    )  # fmt: skip
    if again is not None:
        await transitions.repeat_elsewhere(session, run, batch, [(trial, again)], now)
    else:
        dumped = failure.model_dump(mode="json")
        await change_trial(session, trial, state=TrialState.FAILED, failure=dumped)
    if await _open_trials(session, batch):
        await transitions.wait_again(session, batch, now, now)
    else:
        await transitions.finish(session, batch, now, f"nothing is left after {trial.label}")
    await transitions.roll_up(session, run.id, now)


async def _open_trials(session: AsyncSession, batch: Batch) -> int:
    await session.flush()
    count = select(func.count()).select_from(Trial).where(Trial.batch_id == batch.id, Trial.state.in_(OPEN))
    return await session.scalar(count) or 0

"""Every change of a batch and of its run. The API and the dispatcher's reconcilers both call these.

Each function works inside the caller's transaction and raises Stale when the row is not as the caller believed; the
caller then rolls back and forgets what it wanted to write.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.assignment import Progress
from app.contracts.failures import HINTS, Failure, FailureCode
from app.contracts.measurement import BatchReport, Environment
from app.contracts.states import BatchState, QueueName, RunState, TrialState
from app.db.models import Batch, Run, Trial, WorkKind
from app.db.work import want
from app.domain import lifecycle, retry
from app.runs.events import BATCH_CLAIMED, BATCH_RELEASED, record, uncounted
from app.runs.guarded import Stale, change_batch, change_open_trials, change_run, lock_batch, lock_run
from app.runs.outcomes import move_to_new_batches, write_outcomes
from app.settings import LeaseSettings

__all__ = [
    "Stale",
    "apply_report",
    "cancel_batch",
    "claim",
    "fail_run",
    "finish",
    "give_up",
    "heartbeat",
    "lose",
    "release",
    "repeat_elsewhere",
    "request_cancel",
    "roll_up",
    "send_again",
    "submitted",
    "wait_again",
]

_NO_OWNER = {
    "flow_run_id": None,
    "submitted_at": None,
    "worker": None,
    "token_sha256": None,
    "lease_until": None,
    "progress": None,
}


async def submitted(session: AsyncSession, batch: Batch, flow_run_id: str, now: datetime) -> None:
    """Prefect holds a flow run of this attempt. Raises Stale if the batch does not wait (any more)."""
    if batch.state is not BatchState.WAITING:
        raise Stale(f"batch {batch.id} is {batch.state}")
    await change_batch(session, batch, state=BatchState.SUBMITTED, flow_run_id=flow_run_id, submitted_at=now)


async def send_again(session: AsyncSession, batch: Batch, now: datetime) -> None:
    """Prefect forgot the flow run before anybody claimed the batch: the same attempt gets another one."""
    if batch.state is not BatchState.SUBMITTED:
        raise Stale(f"batch {batch.id} is {batch.state}")
    await change_batch(session, batch, state=BatchState.WAITING, flow_run_id=None, submitted_at=None)
    await want(session, WorkKind.BATCH, batch.id, now)


async def claim(
    session: AsyncSession,
    batch: Batch,
    *,
    flow_run_id: str,
    worker: str,
    environment: Environment,
    token_sha256: str,
    lease_until: datetime,
    now: datetime,
) -> None:
    """A flow run takes the batch: batch, run and pending trials are running. The same flow run may claim again."""
    run = await lock_run(session, batch.run_id)
    if run.cancel_requested:
        raise Stale(f"run {run.id} is being cancelled")
    if batch.state is BatchState.RUNNING and batch.flow_run_id != flow_run_id:
        raise Stale(f"batch {batch.id} is run by flow run {batch.flow_run_id}")
    await change_batch(
        session,
        batch,
        state=BatchState.RUNNING,
        flow_run_id=flow_run_id,
        worker=worker,
        environment=environment.model_dump(mode="json"),
        token_sha256=token_sha256,
        lease_until=lease_until,
        progress=None,
    )
    await change_open_trials(session, batch.id, TrialState.RUNNING)
    record(
        session, run.id, now, BATCH_CLAIMED, f"batch {batch.position}, attempt {batch.attempt}: taken by {worker}",
        batch_id=str(batch.id), attempt=batch.attempt, flow_run_id=flow_run_id,
    )  # fmt: skip
    await roll_up(session, run.id, now)


async def heartbeat(session: AsyncSession, batch: Batch, progress: Progress, lease_until: datetime) -> None:
    """The worker lives. Raises Stale unless the batch is running."""
    if batch.state is not BatchState.RUNNING:
        raise Stale(f"batch {batch.id} is {batch.state}")
    await change_batch(session, batch, lease_until=lease_until, progress=progress.model_dump(mode="json"))


async def apply_report(
    session: AsyncSession,
    batch: Batch,
    report: BatchReport,
    now: datetime,
    queues: Collection[QueueName] = tuple(QueueName),
) -> None:
    """Write how the batch ended, as its worker (or its outcome.json) says. Applying a report twice changes nothing.

    `queues` are those that exist here. Every outcome with a `manifest_key` must carry its manifest. A trial that the
    report does not name is cancelled if the run is being cancelled, else failed. Raises Stale for another attempt.
    """
    locked = await lock_batch(session, batch.id)
    if locked is None or locked[1].attempt != report.attempt:
        raise Stale(f"attempt {report.attempt} of batch {batch.id} is over")
    run, batch = locked
    if batch.state is BatchState.FINISHED:
        return
    if batch.state is not BatchState.RUNNING:
        raise Stale(f"batch {batch.id} is {batch.state}")
    written = await write_outcomes(session, run, batch, report, queues)
    environment = report.environment.model_dump(mode="json")
    await finish(session, batch, now, environment=environment, message=written.sentence)
    for trial_id in written.succeeded:
        await want(session, WorkKind.TRIAL, trial_id, now)
    if written.retried:
        await repeat_elsewhere(session, run, batch, written.retried, now)
    await roll_up(session, run.id, now)


async def finish(
    session: AsyncSession, batch: Batch, now: datetime, message: str, environment: dict[str, object] | None = None
) -> None:
    """The batch is over, all its trials have ended or moved on. Call roll_up afterwards."""
    kept = {} if environment is None else {"environment": environment}
    await change_batch(session, batch, state=BatchState.FINISHED, lease_until=None, progress=None, **kept)
    record(session, batch.run_id, now, "batch_finished", f"batch {batch.position}: {message}", batch_id=str(batch.id))


async def release(session: AsyncSession, batch: Batch, attempt: int, reason: str, now: datetime) -> None:
    """The worker gives the batch back unfinished; the next attempt continues with the rounds that are missing."""
    run = await lock_run(session, batch.run_id)
    if batch.attempt != attempt or batch.state is not BatchState.RUNNING:
        raise Stale(f"attempt {attempt} of batch {batch.id} is over")
    if run.cancel_requested:
        await cancel_batch(session, batch, now, reason)
        return
    worker = batch.worker
    await wait_again(session, batch, now, now)
    record(
        session, batch.run_id, now, BATCH_RELEASED,
        f"batch {batch.position}, attempt {attempt}: given back by its worker: {reason}",
        batch_id=str(batch.id), attempt=attempt, worker=worker,
    )  # fmt: skip
    await roll_up(session, batch.run_id, now)


async def lose(
    session: AsyncSession,
    batch: Batch,
    reason: str,
    now: datetime,
    attempts: int = LeaseSettings().attempts,
    *,
    code: FailureCode = FailureCode.LOST,
    hint: str | None = None,
) -> None:
    """The owner of this attempt is gone: try again later, or give up after `attempts` that count against the batch.

    `code` is what took it, `hint` what to do about that, if something better is known than what the code says.
    Also ends a submitted attempt whose flow run vanished. Raises Stale if the batch lives or ended meanwhile.
    """
    run = await lock_run(session, batch.run_id)
    if batch.state not in (BatchState.RUNNING, BatchState.SUBMITTED):
        raise Stale(f"batch {batch.id} is {batch.state}")
    if run.cancel_requested:
        await cancel_batch(session, batch, now, reason)
        return
    left = await uncounted(session, run.id, batch.id)
    again = retry.after_lost(batch.attempt, batch.queue, left, attempts)
    lost, position = batch.attempt, batch.position
    if again is None:
        text = f"{reason}; {lost} attempts are used up"
        await give_up(session, batch, Failure.of(code, text, hint, attempts=lost), now)
        return
    await wait_again(session, batch, now, now + timedelta(seconds=again.delay_seconds))
    record(
        session, run.id, now, "batch_lost", f"batch {position}, attempt {lost}: {reason}",
        batch_id=str(batch.id), attempt=lost, code=code.value, hint=hint or HINTS[code],
    )  # fmt: skip
    await roll_up(session, run.id, now)


async def give_up(session: AsyncSession, batch: Batch, failure: Failure, now: datetime) -> None:
    """The batch is not tried again: its open trials fail with this. Raises Stale if it has ended."""
    run = await lock_run(session, batch.run_id)
    if run.cancel_requested:
        await cancel_batch(session, batch, now, failure.message)
        return
    position, attempt = batch.position, batch.attempt
    await change_batch(session, batch, state=BatchState.LOST, token_sha256=None, lease_until=None, progress=None)
    await change_open_trials(session, batch.id, TrialState.FAILED, failure=failure.model_dump(mode="json"))
    record(
        session, run.id, now, "batch_given_up", f"batch {position}: {failure.message}",
        batch_id=str(batch.id), attempt=attempt, code=failure.code.value, hint=failure.hint,
    )  # fmt: skip
    await roll_up(session, run.id, now)


async def cancel_batch(session: AsyncSession, batch: Batch, now: datetime, reason: str = "cancelled") -> None:
    """The batch and its open trials are cancelled; what ended before stays. Raises Stale if the batch has ended."""
    await lock_run(session, batch.run_id)
    await change_batch(session, batch, state=BatchState.CANCELLED, token_sha256=None, lease_until=None, progress=None)
    await change_open_trials(session, batch.id, TrialState.CANCELLED)
    record(session, batch.run_id, now, "batch_cancelled", f"batch {batch.position}: {reason}", batch_id=str(batch.id))
    await roll_up(session, batch.run_id, now)


async def request_cancel(session: AsyncSession, run: Run, now: datetime) -> None:
    """Ask for the run to be cancelled; asking twice is asking once. Raises Stale if it has ended."""
    run = await lock_run(session, run.id)
    if lifecycle.is_terminal(lifecycle.RUN, run.state):
        raise Stale(f"run {run.id} is {run.state}")
    if not run.cancel_requested:
        await change_run(session, run, cancel_requested=True)
        record(session, run.id, now, "cancel_requested", "the run is to be cancelled")
    open_states = [state for state in BatchState if not lifecycle.is_terminal(lifecycle.BATCH, state)]
    open_batches = select(Batch.id).where(Batch.run_id == run.id, Batch.state.in_(open_states))
    for batch_id in (await session.scalars(open_batches)).all():
        await want(session, WorkKind.BATCH, batch_id, now)
    await want(session, WorkKind.RUN, run.id, now)


async def fail_run(session: AsyncSession, run: Run, failure: Failure, now: datetime) -> None:
    """A run that could not be planned. Raises Stale if it has ended."""
    run = await lock_run(session, run.id)
    dumped = failure.model_dump(mode="json")
    await change_run(session, run, state=RunState.FAILED, failure=dumped, finished_at=now)
    record(session, run.id, now, "run_failed", failure.message, code=failure.code.value)
    await want(session, WorkKind.RUN, run.id, now)


async def roll_up(session: AsyncSession, run_id: UUID, now: datetime) -> RunState:
    """Bring the run's state to what its trials say. Its version grows, so that those who wait look again.

    A run that ends gets a work row, for whoever tells its owner.
    """
    run = await lock_run(session, run_id)
    if lifecycle.is_terminal(lifecycle.RUN, run.state):
        return run.state
    await session.flush()
    states = (await session.scalars(select(Trial.state).where(Trial.run_id == run_id).distinct())).all()
    following = lifecycle.run_state(states, run.cancel_requested)
    if following is RunState.PLANNING:
        return following
    before = run.state
    ended = lifecycle.is_terminal(lifecycle.RUN, following)
    await change_run(session, run, state=following, finished_at=now if ended else None)
    if following is not before:
        record(session, run_id, now, f"run_{following.value}", f"the run is {following.value}")
    if ended:
        await want(session, WorkKind.RUN, run_id, now)
    return following


async def wait_again(session: AsyncSession, batch: Batch, now: datetime, due_at: datetime) -> None:
    """The next attempt is wanted, not before `due_at`. Call roll_up afterwards."""
    await change_batch(session, batch, state=BatchState.WAITING, **{**_NO_OWNER, "attempt": batch.attempt + 1})
    await change_open_trials(session, batch.id, TrialState.PENDING)
    await want(session, WorkKind.BATCH, batch.id, due_at)


async def repeat_elsewhere(
    session: AsyncSession, run: Run, first: Batch, trials: Sequence[tuple[Trial, retry.Retry]], now: datetime
) -> None:
    """Trials that outgrew their queue get a batch of their own on the next larger one, once."""
    for batch in await move_to_new_batches(session, run, first, trials):
        message = (
            f"batch {batch.position} on {batch.queue.value} repeats what exceeded the memory of {first.queue.value}"
        )
        record(session, run.id, now, "batch_added", message, batch_id=str(batch.id))
        await want(session, WorkKind.BATCH, batch.id, now)

"""What flows say to the control plane of their batches: claim, heartbeat, report, release."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.tokens import check_token, new_token
from app.contracts.assignment import (
    BatchAssignment,
    BatchClaim,
    BatchNote,
    BatchRelease,
    Heartbeat,
    HeartbeatReply,
    TrialAssignment,
)
from app.contracts.experiment import ExperimentSpec
from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import BatchReport, Outcome, TrialManifest
from app.contracts.objects import ObjectMissingError, ObjectStore
from app.contracts.problems import ProblemCode
from app.contracts.states import BatchState, TrialState
from app.datasets import service as datasets
from app.db.models import Batch, Run, Trial
from app.problems import RefusedError, not_found
from app.resources import Resources
from app.runs import transitions
from app.runs.events import record
from app.runs.guarded import lock_batch
from app.runs.limits import memory_limit
from app.runs.reuse import reuse_finished
from app.settings import Settings

_CLAIMABLE = frozenset({BatchState.WAITING, BatchState.SUBMITTED, BatchState.RUNNING})


async def claim(
    session: AsyncSession, batch_id: UUID, attempt: int, asked: BatchClaim, *, resources: Resources, now: datetime
) -> BatchAssignment:
    """Raises RefusedError not_found, stale_attempt, state_conflict."""
    run, batch = await _locked(session, batch_id)
    # A claim may be repeated, its answer may have been lost; by another worker it is another start of the flow run.
    owner = (batch.flow_run_id, batch.worker)
    others = batch.state is BatchState.RUNNING and owner != (asked.flow_run_id, asked.worker)
    if batch.attempt != attempt or batch.state not in _CLAIMABLE or others:
        raise RefusedError(ProblemCode.STALE_ATTEMPT, f"Attempt {attempt} of batch {batch_id} cannot be claimed.")
    if run.cancel_requested:
        raise RefusedError(ProblemCode.STATE_CONFLICT, f"The run {run.id} is being cancelled.")
    token, token_sha256 = new_token()
    leases = resources.settings.leases
    left = await reuse_finished(
        session, run, batch, await _open_trials(session, batch), environment=asked.environment, now=now
    )
    await transitions.claim(
        session,
        batch,
        flow_run_id=asked.flow_run_id,
        worker=asked.worker,
        environment=asked.environment,
        token_sha256=token_sha256,
        lease_until=now + timedelta(seconds=leases.lease_seconds),
        now=now,
    )
    assignment = await _assignment(session, run, batch, left, token=token, settings=resources.settings)
    if not left:
        await transitions.finish(session, batch, now, "every result is reused")
        await transitions.roll_up(session, run.id, now)
    return assignment


async def heartbeat(
    session: AsyncSession, batch_id: UUID, beat: Heartbeat, token: str, *, settings: Settings, now: datetime
) -> HeartbeatReply:
    batch = await session.get(Batch, batch_id, with_for_update=True)
    if batch is None:
        raise not_found("batch", batch_id)
    if batch.attempt != beat.attempt or batch.state is not BatchState.RUNNING:
        return HeartbeatReply(fenced=True)
    check_token(token, batch.token_sha256)
    await transitions.heartbeat(session, batch, beat.progress, now + timedelta(seconds=settings.leases.lease_seconds))
    cancelled = await session.scalar(select(Run.cancel_requested).where(Run.id == batch.run_id))
    return HeartbeatReply(cancel=bool(cancelled))


async def report(
    session: AsyncSession, batch_id: UUID, told: BatchReport, token: str, *, settings: Settings, now: datetime
) -> None:
    """`told` carries its manifests. Raises RefusedError, and Stale for another attempt."""
    _, batch = await _locked(session, batch_id)
    if batch.attempt != told.attempt or batch.state not in (BatchState.RUNNING, BatchState.FINISHED):
        raise transitions.Stale(f"attempt {told.attempt} of batch {batch_id} is over")
    check_token(token, batch.token_sha256)
    await transitions.apply_report(session, batch, told, now, settings.queues)


async def release(
    session: AsyncSession, batch_id: UUID, asked: BatchRelease, token: str, *, settings: Settings, now: datetime
) -> None:
    """Raises RefusedError, and Stale for another attempt."""
    _, batch = await _locked(session, batch_id)
    if batch.attempt != asked.attempt or batch.state is not BatchState.RUNNING:
        raise transitions.Stale(f"attempt {asked.attempt} of batch {batch_id} is over")
    check_token(token, batch.token_sha256)
    if asked.code is None:
        await transitions.release(session, batch, asked.attempt, asked.reason, now)
        return
    attempts = settings.leases.attempts
    await transitions.lose(session, batch, asked.reason, now, attempts, code=asked.code, hint=asked.hint)


async def note(session: AsyncSession, batch_id: UUID, told: BatchNote, token: str, now: datetime) -> None:
    """Raises RefusedError, and Stale for another attempt."""
    _, batch = await _locked(session, batch_id)
    if batch.attempt != told.attempt or batch.state is not BatchState.RUNNING:
        raise transitions.Stale(f"attempt {told.attempt} of batch {batch_id} is over")
    check_token(token, batch.token_sha256)
    message = f"batch {batch.position}, attempt {batch.attempt}: {told.message}"
    record(session, batch.run_id, now, told.kind, message, batch_id=str(batch.id), attempt=batch.attempt)


async def with_manifests(report: BatchReport, objects: ObjectStore) -> BatchReport:
    """The same report, with those manifests read that it only names. One that is not there, or is no manifest, makes
    its trial fail. Raises StoreUnavailableError, and then says nothing of any trial."""
    outcomes = await asyncio.gather(*(_with_manifest(outcome, objects) for outcome in report.outcomes))
    return report.model_copy(update={"outcomes": list(outcomes)})


async def _with_manifest(outcome: Outcome, objects: ObjectStore) -> Outcome:
    if outcome.manifest is not None or outcome.failure is not None or outcome.manifest_key is None:
        return outcome
    try:
        manifest = TrialManifest.model_validate_json(await asyncio.to_thread(objects.get, outcome.manifest_key))
    except ObjectMissingError:
        return _corrupt(outcome, "it is not in the store")
    except ValueError:
        return _corrupt(outcome, "it is no manifest")
    return outcome.model_copy(update={"manifest": manifest})


def _corrupt(outcome: Outcome, what: str) -> Outcome:
    text = f"stored object {outcome.manifest_key}: {what}"
    return outcome.model_copy(update={"failure": Failure.of(FailureCode.ARTIFACT_CORRUPT, text)})


async def _locked(session: AsyncSession, batch_id: UUID) -> tuple[Run, Batch]:
    found = await lock_batch(session, batch_id)
    if found is None:
        raise not_found("batch", batch_id)
    return found


async def _open_trials(session: AsyncSession, batch: Batch) -> list[Trial]:
    """Running ones too: the same flow run may claim again."""
    states = (TrialState.PENDING, TrialState.RUNNING)
    query = select(Trial).where(Trial.batch_id == batch.id, Trial.state.in_(states)).order_by(Trial.position)
    return list((await session.scalars(query)).all())


async def _assignment(
    session: AsyncSession, run: Run, batch: Batch, trials: list[Trial], *, token: str, settings: Settings
) -> BatchAssignment:
    protocol = ExperimentSpec.model_validate(run.spec).protocol
    queue = settings.queues.get(batch.queue)
    if queue is None:
        raise RefusedError(ProblemCode.STATE_CONFLICT, f"The queue {batch.queue.value} does not exist here.")
    users, limit = protocol.limits.memory, memory_limit(batch, protocol, queue)
    prepared = await datasets.prepared_versions(session, sorted({trial.dataset for trial in trials}))
    for trial in trials:
        if trial.dataset not in prepared or prepared[trial.dataset].sha256 != trial.dataset_sha256:
            raise RefusedError(ProblemCode.STATE_CONFLICT, f"The dataset {trial.dataset!r} is not ready.")
    return BatchAssignment(
        batch_id=batch.id,
        run_id=run.id,
        attempt=batch.attempt,
        queue=batch.queue,
        token=token,
        heartbeat_seconds=settings.leases.heartbeat_seconds,
        lease_seconds=settings.leases.lease_seconds,
        isolation=batch.isolation,
        memory_limit_bytes=limit,
        memory_limit_is_users=users is not None and limit == int(users),
        protocol=protocol,
        order_seed=batch.order_seed,
        trials=[
            TrialAssignment(
                trial_id=trial.id,
                label=trial.label,
                algorithm=trial.algorithm,
                parameters=trial.parameters,
                dataset=prepared[trial.dataset],
                sample_size=trial.sample_size,
                sample_seed=trial.sample_seed,
                seed=trial.seed,
                predicted_bytes=trial.predicted_bytes,
                is_reference=trial.is_reference,
            )
            for trial in trials
        ],
    )

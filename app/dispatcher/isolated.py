"""Isolated: the Jobs and pods of trials that have one of their own: told why they wait, ended when they cannot go on,
taken away when nobody wants them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, select

from app.clock import now
from app.contracts.failures import Failure
from app.contracts.states import BatchState, Isolation, TrialState
from app.db.models import Batch, Trial
from app.dispatcher import attempts
from app.dispatcher.context import Context
from app.dispatcher.gone import silent_since
from app.domain.pod_diagnosis import Diagnosis, diagnose, unschedulable
from app.gateways.kubernetes import TrialJob, TrialPod
from app.gateways.prefect import TERMINAL_STATES
from app.runs.events import record_once
from app.runs.guarded import lock_batch

CLAIMABLE = frozenset({BatchState.SUBMITTED, BatchState.RUNNING})
WANTED = CLAIMABLE | {BatchState.WAITING}
"""Waiting too: a Job may be made before the dispatcher has noted that Prefect accepted its flow run."""
LEAVING = timedelta(seconds=60)
"""How long a pod whose batch is finished may take to end by itself."""
WITHOUT_A_POD = timedelta(seconds=20)
"""How long the Job's controller may take to make a pod."""

_Attempt = tuple[UUID, int]


@dataclass(frozen=True)
class _Place:
    """What there is of an attempt in the cluster."""

    job: TrialJob | None
    pod: TrialPod | None


class IsolatedTrials:
    """Remembers since when Jobs are not wanted."""

    def __init__(self) -> None:
        self._left: dict[str, datetime] = {}

    async def reconcile(self, context: Context) -> int:
        if context.kubernetes is None or not context.settings.pod_isolation:
            return 0
        # The cluster first: what a pod reported before it ended is in the rows that are read afterwards.
        jobs = {(job.batch_id, job.attempt): job for job in await context.kubernetes.trial_jobs()}
        pods = {(pod.batch_id, pod.attempt): pod for pod in await context.kubernetes.trial_pods()}
        batches = await _batches(context, [batch_id for batch_id, _ in jobs])
        changed = await self._sweep(context, jobs, batches)
        for batch in batches.values():
            if batch.isolation is Isolation.POD and batch.state in CLAIMABLE:
                key = (batch.id, batch.attempt)
                changed += await _judge(context, batch, _Place(jobs.get(key), pods.get(key)))
        return changed

    async def _sweep(self, context: Context, jobs: dict[_Attempt, TrialJob], batches: dict[UUID, Batch]) -> int:
        assert context.kubernetes is not None  # noqa: S101 - the caller's part
        moment, deleted = now(), 0
        unwanted = {job.name: job for job in jobs.values() if not _is_wanted(job, batches.get(job.batch_id))}
        self._left = {name: self._left.get(name, moment) for name in unwanted}
        for name, job in unwanted.items():
            due = _due(job, batches.get(job.batch_id), self._left[name], context.settings.pods.keep_seconds)
            if moment >= due and not job.terminating:
                await context.kubernetes.delete_job(name)
                deleted += 1
        return deleted


def _is_wanted(job: TrialJob, batch: Batch | None) -> bool:
    return batch is not None and batch.attempt == job.attempt and batch.state in WANTED and job.ended_at is None


def _due(job: TrialJob, batch: Batch | None, left_at: datetime, keep_seconds: float) -> datetime:
    """When a Job that is not wanted may be deleted: one that has ended keeps its pod's log for a while."""
    if job.ended_at is not None:
        return job.ended_at + timedelta(seconds=keep_seconds)
    is_leaving = batch is not None and batch.attempt == job.attempt and batch.state is BatchState.FINISHED
    return left_at + LEAVING if is_leaving else left_at


async def _judge(context: Context, batch: Batch, place: _Place) -> int:
    if place.pod is not None:
        return await _with_pod(context, batch, place.pod)
    if batch.state is BatchState.RUNNING or (place.job is not None and place.job.ended_at is not None):
        return await _pod_gone(context, batch)
    if place.job is not None:
        return await _without_pod(context, batch, place.job)
    return await _without_job(context, batch)


async def _with_pod(context: Context, batch: Batch, pod: TrialPod) -> int:
    found = diagnose(pod.status)
    if found is None:
        return 0
    if pod.status.is_over:
        said = replace(found, message=f"its pod {pod.name} ended: {found.message}")
        return await attempts.end(context, batch, said, await _only_trial(context, batch))
    if batch.state is BatchState.SUBMITTED and pod.status.phase == "Pending":
        return await _waits(context, batch, found, pod.created_at, f"its pod {pod.name}")
    return 0  # it is being taken away, and gives its batch back


async def _without_pod(context: Context, batch: Batch, job: TrialJob) -> int:
    """A quota may refuse the pod: then only the Job's events say so."""
    assert context.kubernetes is not None  # noqa: S101 - the caller's part
    if now() < job.created_at + WITHOUT_A_POD:
        return 0
    warning = await context.kubernetes.last_warning(job.name)
    if not warning:
        return 0
    return await _waits(context, batch, unschedulable(warning), job.created_at, f"its Job {job.name}")


async def _without_job(context: Context, batch: Batch) -> int:
    """Queued in Prefect, as a rule. Not: it had a Job, or Prefect's worker could not make one."""
    long_ago = now() - timedelta(seconds=context.settings.leases.pending_seconds)
    if batch.flow_run_id is None or batch.submitted_at is None or batch.submitted_at > long_ago:
        return 0
    state = await context.prefect.flow_run_state(batch.flow_run_id)
    if state is None:
        return 0  # Prefect forgot it: app/dispatcher/stuck.py submits it again
    if state.type in TERMINAL_STATES:
        text = f"its flow run ended {state.type} without a pod"
    elif await context.prefect.has_infrastructure(batch.flow_run_id):
        text = "its Job is gone"
    else:
        return 0
    return await _lost(context, batch, text)


async def _pod_gone(context: Context, batch: Batch) -> int:
    if batch.state is BatchState.RUNNING and silent_since(batch, context) is None:
        return 0
    return await _lost(context, batch, "its pod is gone")


async def _lost(context: Context, batch: Batch, text: str) -> int:
    found = diagnose(None)
    assert found is not None  # noqa: S101 - of no pod, it is lost
    return await attempts.end(context, batch, replace(found, message=text), None)


async def _waits(context: Context, batch: Batch, found: Diagnosis, since: datetime, whose: str) -> int:
    """Told once for each reason, and ended when it has waited for too long."""
    limit = context.settings.pods.start_seconds
    if now() < since + timedelta(seconds=limit):
        return await _tell(context, batch, f"{whose} is {found.message}", found)
    text = f"{whose} did not start in {limit:g} s: it is {found.message}"
    ended = await attempts.give_up(context, batch, Failure.of(found.code, text, found.hint))
    if batch.flow_run_id is not None:
        # So that Prefect's worker takes the Job away too, and nobody takes the flow run for a waiting one.
        await context.prefect.set_flow_run_state(batch.flow_run_id, "CANCELLED", force=True)
    return ended


async def _tell(context: Context, batch: Batch, message: str, found: Diagnosis) -> bool:
    async with context.database.write() as session:
        locked = await lock_batch(session, batch.id)
        if locked is None or locked[1].attempt != batch.attempt:
            return False
        return await record_once(
            session, batch.run_id, now(), "pod_waits", f"batch {batch.position}, attempt {batch.attempt}: {message}",
            about={"batch_id": str(batch.id), "attempt": batch.attempt, "code": found.code.value}, hint=found.hint,
        )  # fmt: skip


async def _only_trial(context: Context, batch: Batch) -> UUID | None:
    states = (TrialState.PENDING, TrialState.RUNNING)
    async with context.database.read() as session:
        found = await session.scalars(select(Trial.id).where(Trial.batch_id == batch.id, Trial.state.in_(states)))
        trials = found.all()
    return trials[0] if len(trials) == 1 else None


async def _batches(context: Context, with_jobs: Collection[UUID]) -> dict[UUID, Batch]:
    """Those with a Job, and a page of those that may have had one."""
    is_open = (Batch.isolation == Isolation.POD) & Batch.state.in_(CLAIMABLE)
    query = select(Batch).where(or_(Batch.id.in_(with_jobs), is_open)).order_by(Batch.submitted_at)
    limit = context.settings.dispatcher.page + len(with_jobs)
    async with context.database.read() as session:
        return {batch.id: batch for batch in (await session.scalars(query.limit(limit))).all()}

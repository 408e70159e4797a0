"""From a worker's report to trial rows. The manifest is the truth; the columns are derived from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import new_id
from app.contracts.canonical import derived_seed
from app.contracts.experiment import ExperimentSpec
from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import MEMORY_ROUND, BatchReport, Outcome, TrialManifest
from app.contracts.objects import manifest_key
from app.contracts.states import BatchState, QueueName, TrialState
from app.db.models import Batch, Run, Trial
from app.domain import lifecycle
from app.domain.retry import Retry, after_failure
from app.runs.guarded import change_trial

# The machine or the algorithm cannot do it at all: nothing was tried, so nothing has failed.
_SKIPS = frozenset({FailureCode.NOT_AVAILABLE, FailureCode.NOT_SUPPORTED})


@dataclass
class Written:
    """What a report did to the trials of its batch."""

    succeeded: list[UUID] = field(default_factory=list)
    retried: list[tuple[Trial, Retry]] = field(default_factory=list)
    states: Counter[TrialState] = field(default_factory=Counter)

    @property
    def sentence(self) -> str:
        counts = [f"{number} {state.value}" for state, number in sorted(self.states.items())]
        moved = [f"{len(self.retried)} tried again on a larger queue"] if self.retried else []
        return ", ".join(counts + moved) or "nothing was left to measure"


async def write_outcomes(
    session: AsyncSession, run: Run, batch: Batch, report: BatchReport, queues: Collection[QueueName]
) -> Written:
    """Bring every open trial of the batch to its end. Outcomes of other trials are not this worker's to tell."""
    outcomes = {outcome.trial_id: outcome for outcome in report.outcomes}
    written = Written()
    trials = await session.scalars(
        select(Trial)
        .where(Trial.batch_id == batch.id)
        .order_by(Trial.position)
        .execution_options(populate_existing=True)
    )
    for trial in trials.all():
        if lifecycle.is_terminal(lifecycle.TRIAL, trial.state):
            continue
        outcome = outcomes.get(trial.id) or _missing(trial, run)
        again = None if run.cancel_requested else _retry(outcome, run, batch, queues)
        if again is not None:
            written.retried.append((trial, again))
            continue
        values = _columns(run, trial, outcome)
        await change_trial(session, trial, **values)
        written.states[values["state"]] += 1
        if values["state"] is TrialState.SUCCEEDED:
            written.succeeded.append(trial.id)
    return written


async def move_to_new_batches(
    session: AsyncSession, run: Run, first: Batch, trials: Sequence[tuple[Trial, Retry]]
) -> list[Batch]:
    """One new waiting batch per queue, behind the others; the trials are pending in it."""
    last = await session.scalar(select(func.max(Batch.position)).where(Batch.run_id == run.id)) or 0
    batches: list[Batch] = []
    for offset, queue in enumerate(sorted({retry.queue for _, retry in trials}), start=1):
        moved = [(trial, retry) for trial, retry in trials if retry.queue is queue]
        batch = Batch(
            id=new_id(),
            run_id=run.id,
            position=last + offset,
            queue=queue,
            isolation=first.isolation,
            state=BatchState.WAITING,
            estimated_seconds=first.estimated_seconds,
            order_seed=derived_seed(first.order_seed, queue=queue.value),
        )
        session.add(batch)
        await session.flush()
        for trial, retry in moved:
            await change_trial(
                session, trial, state=TrialState.PENDING, batch_id=batch.id, queue=queue, routing=retry.reason
            )
        batches.append(batch)
    return batches


def memory_retry(code: FailureCode, run: Run, batch: Batch, queues: Collection[QueueName]) -> Retry | None:
    """Where a trial of this batch gets a second try after `code`, if it does; `queues` are those that exist here."""
    limit_is_users = ExperimentSpec.model_validate(run.spec).protocol.limits.memory is not None
    # Of an isolated batch, unless this is its second try.
    below_queue = batch.memory_limit_bytes is not None
    return after_failure(code, batch.queue, limit_is_users, queues, below_queue=below_queue)


def summary(manifest: TrialManifest) -> dict[str, Any]:
    """The columns that lists show, so that no list has to open a manifest."""
    fits = [
        sample.phases.fit
        for sample in manifest.samples
        if sample.round != MEMORY_ROUND and sample.failure is None and sample.phases.fit is not None
    ]
    return {
        "manifest": manifest.model_dump(mode="json"),
        "fit_seconds_median": median(fits) if fits else None,
        "memory": manifest.memory.model_dump(mode="json"),
        "quality": manifest.quality.model_dump(mode="json"),
    }


def _missing(trial: Trial, run: Run) -> Outcome | None:
    if run.cancel_requested:
        return None
    text = "The worker's report does not say how this trial ended."
    return Outcome(trial_id=trial.id, failure=Failure.of(FailureCode.INTERNAL, text))


def _retry(outcome: Outcome | None, run: Run, batch: Batch, queues: Collection[QueueName]) -> Retry | None:
    if outcome is None or outcome.failure is None:
        return None
    return memory_retry(outcome.failure.code, run, batch, queues)


def _columns(run: Run, trial: Trial, outcome: Outcome | None) -> dict[str, Any]:
    if outcome is None:
        return {"state": TrialState.CANCELLED}
    if outcome.failure is not None:
        return _failed(outcome, outcome.failure)
    manifest = outcome.manifest
    if manifest is None or (manifest.trial_id, manifest.run_id) != (trial.id, run.id):
        text = "The worker reported a success without this trial's manifest."
        return _failed(outcome, Failure.of(FailureCode.INTERNAL, text))
    return {
        "state": TrialState.SUCCEEDED,
        "measured_batch_id": manifest.batch_id,
        "manifest_key": outcome.manifest_key or manifest_key(run.id, trial.id),
        "failure": None,
        **summary(manifest),
    }


def _failed(outcome: Outcome, failure: Failure) -> dict[str, Any]:
    return {
        "state": TrialState.SKIPPED if failure.code in _SKIPS else TrialState.FAILED,
        "failure": failure.model_dump(mode="json"),
        "samples": [sample.model_dump(mode="json") for sample in outcome.samples],
    }

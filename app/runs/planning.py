"""From a run's specification to its rows: batches and trials. Called once the dataset versions are known."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import now
from app.contracts.dataset import PreparedDataset
from app.contracts.experiment import ExperimentSpec
from app.contracts.states import BatchState, DatasetState, Isolation, RunTrigger, TrialState
from app.db.models import Batch, Dataset, Run, Trial, WorkKind
from app.db.work import want
from app.domain.isolation import sample_limit
from app.domain.plan import Batch as PlannedBatch
from app.domain.plan import Catalogue, DatasetFacts, Pace, Plan, QueueCapacity, make_plan
from app.domain.plan import Trial as PlannedTrial
from app.settings import Settings


class DatasetsPendingError(Exception):
    """Some dataset is not prepared yet; plan again when it is."""


class DatasetsFailedError(Exception):
    """A dataset cannot be prepared, so the run cannot be planned."""


async def dataset_facts(session: AsyncSession, names: list[str]) -> dict[str, DatasetFacts]:
    """What planning needs of each dataset. Raises DatasetsPendingError or DatasetsFailedError."""
    rows = {row.name: row for row in await session.scalars(select(Dataset).where(Dataset.name.in_(names)))}
    missing = [name for name in names if name not in rows]
    failed = [name for name, row in rows.items() if row.state is DatasetState.FAILED]
    if missing or failed:
        raise DatasetsFailedError(f"not available: {', '.join(sorted(missing + failed))}")
    facts: dict[str, DatasetFacts] = {}
    for name, row in rows.items():
        if row.prepared is None:
            raise DatasetsPendingError(name)
        prepared = PreparedDataset.model_validate(row.prepared)
        facts[name] = DatasetFacts(
            name=name, sha256=prepared.sha256, n=prepared.n, d=prepared.d, sketch=prepared.profile.sketch
        )
    return facts


def capacities(settings: Settings) -> list[QueueCapacity]:
    return [
        QueueCapacity(name=name, memory_bytes=queue.memory_bytes, threads=queue.threads)
        for name, queue in settings.queues.items()
    ]


def pace_of(run: Run) -> Pace:
    if run.trigger is RunTrigger.PREVIEW:
        return Pace.PREVIEW
    return Pace.URGENT if run.urgent else Pace.USUAL


async def plan_run(session: AsyncSession, run: Run, catalogue: Catalogue, settings: Settings) -> Plan:
    """Add the run's batches and trials and wish for its flow runs.

    Raises DatasetsPendingError, DatasetsFailedError, and PlanError if the catalogue no longer takes the specification.
    """
    spec = ExperimentSpec.model_validate(run.spec)
    facts = await dataset_facts(session, spec.datasets)
    plan = make_plan(spec, run.id, facts, catalogue, capacities(settings), pace_of(run))
    batch_of = {trial_id: batch for batch in plan.batches for trial_id in batch.trial_ids}
    session.add_all(
        Batch(
            id=batch.id,
            run_id=run.id,
            position=batch.position,
            queue=batch.queue,
            isolation=batch.isolation,
            memory_limit_bytes=_isolated_limit(batch, plan, spec, settings),
            state=BatchState.WAITING,
            estimated_seconds=batch.estimated_seconds,
            order_seed=batch.order_seed,
        )
        for batch in plan.batches
    )
    await session.flush()
    for trial in plan.trials:
        batch = batch_of.get(trial.id)
        version = catalogue[trial.algorithm].info.version
        session.add(Trial(id=trial.id, run_id=run.id, batch_id=batch.id if batch else None, **_columns(trial, version)))
    for batch in plan.batches:
        await want(session, WorkKind.BATCH, batch.id, now())
    return plan


def _isolated_limit(batch: PlannedBatch, plan: Plan, spec: ExperimentSpec, settings: Settings) -> int | None:
    if batch.isolation is not Isolation.POD:
        return None
    users = spec.protocol.limits.memory
    estimates = [trial.predicted_bytes for trial in plan.trials if trial.id in batch.trial_ids]
    known = [estimate for estimate in estimates if estimate is not None]
    queue_bytes = settings.queues[batch.queue].memory_bytes
    limit = sample_limit(max(known, default=None), None if users is None else int(users), queue_bytes)
    return None if users is None and limit == queue_bytes else limit


def _columns(trial: PlannedTrial, version: str) -> dict[str, Any]:
    return {
        "position": trial.position,
        "label": trial.label,
        "algorithm": trial.algorithm,
        "algorithm_version": version,
        "parameters": trial.parameters,
        "problem": trial.problem,
        "dataset": trial.dataset,
        "dataset_sha256": trial.dataset_sha256,
        "sample_size": trial.sample_size,
        "sample_seed": trial.sample_seed,
        "seed": trial.seed,
        "is_reference": trial.is_reference,
        "queue": trial.queue,
        "routing": trial.routing,
        "predicted_bytes": trial.predicted_bytes,
        "predicted_seconds": trial.prediction.fit_seconds if trial.prediction else None,
        "state": TrialState.SKIPPED if trial.skipped else TrialState.PENDING,
        "failure": trial.skipped.model_dump(mode="json") if trial.skipped else None,
    }

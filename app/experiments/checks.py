"""What a specification must pass before it is written, and what it would become (dry run)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.dataset import PreparedDataset
from app.contracts.experiment import ExperimentSpec
from app.contracts.failures import FailureCode
from app.contracts.problems import ProblemCode, ProblemError
from app.contracts.states import DatasetState
from app.contracts.views import PlannedTrial, PlanView
from app.datasets import service as datasets
from app.db.models import Dataset
from app.domain.plan import DatasetFacts, Pace, Plan, QueueCapacity, Trial, check, make_plan
from app.domain.preview import refuse_too_many, remark
from app.problems import RefusedError
from app.resources import Resources
from app.settings import Settings

_NOBODY = UUID(int=0)  # a plan that is thrown away belongs to no run


async def checked_plan(
    session: AsyncSession, spec: ExperimentSpec, resources: Resources, pace: Pace = Pace.USUAL
) -> PlanView:
    """The plan over those datasets that are ready. Raises PlanError or RefusedError; the datasets stay until commit."""
    trials = check(spec, resources.catalogue)
    if pace is Pace.PREVIEW:
        refuse_too_many(trials)
    _check_settings(spec, resources.settings)
    found = await datasets.used_by(session, spec.datasets)
    _check_datasets(spec, found)
    waiting = [name for name in spec.datasets if found[name].prepared is None]
    ready = [name for name in spec.datasets if found[name].prepared is not None]
    remarks = _remarks(spec, waiting) if pace is Pace.PREVIEW else []
    if not ready:
        return PlanView(trials=[], batches=0, queues={}, waiting_for_datasets=waiting, remarks=remarks)
    narrowed = spec.model_copy(update={"datasets": ready})
    facts = {name: _facts(found[name]) for name in ready}
    queues = [
        QueueCapacity(name=name, memory_bytes=queue.memory_bytes, threads=queue.threads)
        for name, queue in resources.settings.queues.items()
    ]
    plan = await asyncio.to_thread(_plan, narrowed, facts, resources.catalogue, queues, pace)
    if not waiting:
        _check_fit(plan)
    return _view(plan, waiting, remarks)


def _remarks(spec: ExperimentSpec, waiting: Sequence[str]) -> list[str]:
    """Of a preview."""
    said = [remark(spec)]
    if waiting:
        said.append(f"It waits for {', '.join(waiting)}: datasets are prepared on the queue default.")
    return said


def _plan(
    spec: ExperimentSpec,
    facts: Mapping[str, DatasetFacts],
    catalogue: Mapping[str, Any],
    queues: Sequence[QueueCapacity],
    pace: Pace,
) -> Plan:
    return make_plan(spec, _NOBODY, facts, catalogue, queues, pace)


def _check_settings(spec: ExperimentSpec, settings: Settings) -> None:
    if spec.protocol.isolation == "pod" and not settings.pod_isolation:
        message = "isolation by pod needs a Kubernetes installation that allows it"
        raise RefusedError.at(ProblemCode.ISOLATION_NOT_AVAILABLE, "/protocol/isolation", message)
    hosts = [
        ProblemError(pointer=f"/notifications/{index}/url", message=f"the host {one.url.host!r} is not allowed")
        for index, one in enumerate(spec.notifications)
        if one.url.host not in settings.notifications.allowed_hosts
    ]
    if hosts:
        raise RefusedError(ProblemCode.NOTIFICATION_HOST_FORBIDDEN, hosts[0].message, hosts)


def _check_datasets(spec: ExperimentSpec, found: Mapping[str, Dataset]) -> None:
    unknown = [
        ProblemError(pointer=f"/datasets/{index}", message=f"there is no dataset {name!r}")
        for index, name in enumerate(spec.datasets)
        if name not in found
    ]
    if unknown:
        raise RefusedError(ProblemCode.UNKNOWN_DATASET, unknown[0].message, unknown)
    failed = [
        ProblemError(pointer=f"/datasets/{index}", message=f"the dataset {name!r} could not be prepared")
        for index, name in enumerate(spec.datasets)
        if found[name].state is DatasetState.FAILED
    ]
    if failed:
        raise RefusedError(ProblemCode.STATE_CONFLICT, failed[0].message, failed)


def _check_fit(plan: Plan) -> None:
    too_large = [trial for trial in plan.trials if trial.skipped and trial.skipped.code is FailureCode.TOO_LARGE]
    if plan.trials and len(too_large) == len(plan.trials):
        smallest = min(too_large, key=lambda trial: trial.predicted_bytes or 0)
        text = f"None of the {len(plan.trials)} trials fits a queue; the smallest: {smallest.routing}."
        raise RefusedError.at(ProblemCode.NOTHING_FITS, "/sampleSizes", text)


def _facts(row: Dataset) -> DatasetFacts:
    prepared = PreparedDataset.model_validate(row.prepared)
    return DatasetFacts(
        name=row.name, sha256=prepared.sha256, n=prepared.n, d=prepared.d, sketch=prepared.profile.sketch
    )


def _view(plan: Plan, waiting: list[str], remarks: list[str]) -> PlanView:
    return PlanView(
        trials=[_planned(trial) for trial in plan.trials],
        batches=len(plan.batches),
        queues=dict(Counter(batch.queue for batch in plan.batches)),
        waiting_for_datasets=waiting,
        remarks=remarks,
    )


def _planned(trial: Trial) -> PlannedTrial:
    return PlannedTrial(
        label=trial.label,
        parameters=trial.parameters,
        dataset=trial.dataset,
        sample_size=trial.sample_size,
        queue=trial.queue,
        routing=trial.routing,
        predicted_bytes=trial.predicted_bytes,
        predicted_seconds=trial.prediction.fit_seconds if trial.prediction else None,
        skipped=trial.skipped,
    )

"""From rows to what the public API answers."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from app.contracts.assignment import Progress
from app.contracts.experiment import ExperimentSpec
from app.contracts.failures import Failure
from app.contracts.measurement import MemoryFigure, Quality
from app.contracts.states import RunTrigger, TrialState
from app.contracts.views import BatchView, EventView, RunView, TrialView
from app.db.models import Batch, Event, Run, Trial
from app.domain import preview


def run_view(run: Run, experiment: str, counts: Iterable[tuple[TrialState, int, int]]) -> RunView:
    here = f"/v1/runs/{run.id}"
    known = list(counts)
    parts = ("trials", "batches", "events", "logs", "comparison", "report", "results")
    return RunView(
        id=run.id,
        experiment_id=run.experiment_id,
        experiment=experiment,
        trigger=run.trigger,
        state=run.state,
        created_at=run.created_at,
        finished_at=run.finished_at,
        scheduled_for=run.scheduled_for,
        trials={state: number for state, number, _ in known},
        reused_trials=sum(reused for _, _, reused in known),
        cancel_requested=run.cancel_requested,
        urgent=run.urgent,
        pinned=run.pinned,
        artifacts_deleted_at=run.artifacts_deleted_at,
        remarks=remarks(run),
        failure=Failure.model_validate(run.failure) if run.failure else None,
        links={"self": here, "experiment": f"/v1/experiments/{run.experiment_id}"}
        | {part: f"{here}/{part}" for part in parts},
    )


def remarks(run: Run) -> list[str]:
    """What to know before its figures are used."""
    said = [preview.remark(ExperimentSpec.model_validate(run.spec))] if run.trigger is RunTrigger.PREVIEW else []
    if run.artifacts_deleted_at is not None:
        said.append(
            f"Labels and rounds were deleted on {run.artifacts_deleted_at:%Y-%m-%d}; figures and manifests stay."
        )
    return said


def batch_view(batch: Batch, trial_ids: list[UUID]) -> BatchView:
    return BatchView(
        id=batch.id,
        run_id=batch.run_id,
        position=batch.position,
        queue=batch.queue,
        isolation=batch.isolation,
        state=batch.state,
        attempt=batch.attempt,
        worker=batch.worker,
        progress=Progress.model_validate(batch.progress) if batch.progress else None,
        estimated_seconds=batch.estimated_seconds,
        flow_run_id=batch.flow_run_id,
        trial_ids=trial_ids,
    )


def trial_view(trial: Trial) -> TrialView:
    return TrialView(
        id=trial.id,
        run_id=trial.run_id,
        batch_id=trial.batch_id,
        position=trial.position,
        label=trial.label,
        algorithm=trial.algorithm,
        parameters=trial.parameters,
        dataset=trial.dataset,
        dataset_sha256=trial.dataset_sha256,
        sample_size=trial.sample_size,
        queue=trial.queue,
        routing=trial.routing,
        predicted_bytes=trial.predicted_bytes,
        state=trial.state,
        is_reference=trial.is_reference,
        reused_from=trial.reused_from,
        fit_seconds_median=trial.fit_seconds_median,
        memory=MemoryFigure.model_validate(trial.memory) if trial.memory else None,
        quality=Quality.model_validate(trial.quality) if trial.quality else None,
        failure=Failure.model_validate(trial.failure) if trial.failure else None,
        manifest_key=trial.manifest_key,
    )


def event_view(event: Event) -> EventView:
    return EventView(id=event.id, at=event.at, kind=event.kind, message=event.message, data=event.data)

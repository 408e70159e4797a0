"""Views as the API answers them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.contracts.dataset import DatasetSpec
from app.contracts.experiment import ExperimentSpec
from app.contracts.states import DatasetState, RunState, RunTrigger, TrialState
from app.contracts.views import DatasetView, ExperimentView, RunView, TrialView

RUN = UUID("019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071")
OTHER_RUN = UUID("019ab3c5-0000-7f80-9a1b-2c3d4e5f6072")
EXPERIMENT = UUID("019ab3c4-5d6e-7f80-9a1b-000000000001")
DATASET = UUID("019ab3c4-5d6e-7f80-9a1b-000000000002")
UPLOAD = UUID("019ab3c4-5d6e-7f80-9a1b-000000000003")
CREATED = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
EXPERIMENT_DOCUMENT = {
    "kind": "Experiment",
    "name": "cities",
    "datasets": ["world-cities"],
    "parameters": {"eps": 0.05},
    "algorithms": [{"algorithm": "sklearn-dbscan"}],
}


def run_view(state: RunState = RunState.SUCCEEDED, run_id: UUID = RUN, **changes: Any) -> RunView:
    values: dict[str, Any] = {
        "id": run_id,
        "experiment_id": EXPERIMENT,
        "experiment": "cities",
        "trigger": RunTrigger.MANUAL,
        "state": state,
        "created_at": CREATED,
        "trials": {TrialState.SUCCEEDED: 2, TrialState.FAILED: 1},
    }
    return RunView(**{**values, **changes})


def experiment_view(latest_run_id: UUID | None = RUN) -> ExperimentView:
    spec = ExperimentSpec.model_validate(EXPERIMENT_DOCUMENT)
    return ExperimentView(id=EXPERIMENT, name="cities", spec=spec, created_at=CREATED, latest_run_id=latest_run_id)


def dataset_view(spec: dict[str, Any], state: DatasetState = DatasetState.READY, **changes: Any) -> DatasetView:
    parsed = DatasetSpec.model_validate(spec)
    return DatasetView(id=DATASET, name=parsed.name, spec=parsed, state=state, attempt=1, created_at=CREATED, **changes)


def trial_view(**changes: Any) -> TrialView:
    values: dict[str, Any] = {
        "id": UUID(int=7),
        "run_id": RUN,
        "batch_id": None,
        "position": 0,
        "label": "sklearn-dbscan",
        "algorithm": "sklearn-dbscan",
        "parameters": {"eps": 0.05, "min_samples": 5},
        "dataset": "world-cities",
        "dataset_sha256": "3f" * 32,
        "sample_size": 144_000,
        "queue": "default",
        "routing": "estimated 1.0 GiB ≤ 6 GiB of default",
        "predicted_bytes": 2**30,
        "state": TrialState.SUCCEEDED,
        "is_reference": True,
        "fit_seconds_median": 1.84,
    }
    return TrialView(**{**values, **changes})

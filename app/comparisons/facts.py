"""From rows to what the comparison works on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.contracts.dataset import PreparedDataset
from app.contracts.experiment import ExperimentSpec
from app.contracts.failures import Failure
from app.contracts.measurement import Sample, TrialManifest
from app.db.models import Run, Trial
from app.domain.comparison import RunFacts, TrialFacts
from app.runs.views import remarks
from workers.algorithms.adapter import Adapter


def run_facts(run: Run, experiment: str) -> RunFacts:
    spec = ExperimentSpec.model_validate(run.spec)
    return RunFacts(
        run_id=run.id,
        experiment=experiment,
        description=spec.description,
        state=run.state,
        trigger=run.trigger,
        remarks=remarks(run),
        reference=spec.reference_label,
        rounds=spec.protocol.rounds,
        seed=spec.protocol.seed,
    )


def trial_facts(
    trial: Trial, prepared: Mapping[str, PreparedDataset], catalogue: Mapping[str, Adapter[Any]]
) -> TrialFacts:
    manifest = TrialManifest.model_validate(trial.manifest) if trial.manifest else None
    adapter = catalogue.get(trial.algorithm)
    return TrialFacts(
        trial_id=trial.id,
        label=trial.label,
        algorithm=trial.algorithm,
        algorithm_version=trial.algorithm_version,
        parameters=trial.parameters,
        problem=trial.problem,
        dataset=trial.dataset,
        dataset_sha256=trial.dataset_sha256,
        d=prepared[trial.dataset].d if trial.dataset in prepared else 0,
        sample_size=trial.sample_size,
        state=trial.state,
        is_reference=trial.is_reference,
        # An algorithm that left the catalogue promises nothing any more.
        exact=adapter is not None and adapter.info.capabilities.exact,
        reused=trial.reused_from is not None,
        measured_batch_id=trial.measured_batch_id,
        samples=samples(trial, manifest),
        memory=manifest.memory if manifest else None,
        predicted_bytes=trial.predicted_bytes,
        fingerprint=manifest.fingerprint if manifest else None,
        quality=manifest.quality if manifest else None,
        failure=Failure.model_validate(trial.failure) if trial.failure else None,
        environment=manifest.environment if manifest else None,
    )


def samples(trial: Trial, manifest: TrialManifest | None) -> list[Sample]:
    """Of the manifest, or, when the trial failed, those it got as far as."""
    return manifest.samples if manifest else [Sample.model_validate(one) for one in trial.samples or []]

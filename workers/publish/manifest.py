"""The commit point of a trial, and the outcome of an attempt."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from pydantic import ValidationError

from app.contracts.assignment import BatchAssignment, TrialAssignment
from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import BatchReport, Environment, MemoryFigure, Outcome, TrialManifest
from app.contracts.objects import ObjectExistsError, ObjectMissingError, ObjectStore, manifest_key, outcome_key
from app.crash_points import CrashPoint, reached
from workers.algorithms import registry
from workers.measure.block import TrialResult


def publish(
    store: ObjectStore, assignment: BatchAssignment, results: Mapping[UUID, TrialResult], environment: Environment
) -> BatchReport:
    """Write a manifest for each trial that succeeded, then the attempt's outcome; answers what is to be reported."""
    outcomes = [
        _publish_trial(store, assignment, trial, results[trial.trial_id], environment) for trial in assignment.trials
    ]
    report = BatchReport(
        batch_id=assignment.batch_id, attempt=assignment.attempt, outcomes=outcomes, environment=environment
    )
    reached(CrashPoint.MANIFEST_PUBLISHED)
    key = outcome_key(assignment.run_id, assignment.batch_id, assignment.attempt)
    store.put(key, report.model_dump_json().encode())
    reached(CrashPoint.OUTCOME_PUBLISHED)
    return report


def _publish_trial(
    store: ObjectStore,
    assignment: BatchAssignment,
    trial: TrialAssignment,
    result: TrialResult,
    environment: Environment,
) -> Outcome:
    key = manifest_key(assignment.run_id, trial.trial_id)
    if result.failure is not None:
        # What an earlier attempt has published counts, whatever this one met: its own result is then the second.
        earlier = _earlier(store, key, trial) if assignment.attempt > 1 else None
        return earlier or Outcome(trial_id=trial.trial_id, failure=result.failure, samples=result.samples)
    if result.scored is None:
        failure = Failure.of(FailureCode.INTERNAL, "no failure and no score")
        return Outcome(trial_id=trial.trial_id, failure=failure, samples=result.samples)
    scored = result.scored
    memory = next((sample.memory for sample in result.samples if sample.memory is not None), None)
    manifest = TrialManifest(
        trial_id=trial.trial_id,
        run_id=assignment.run_id,
        batch_id=assignment.batch_id,
        attempt=assignment.attempt,
        algorithm=trial.algorithm,
        algorithm_version=registry.get(trial.algorithm).info.version,
        parameters=trial.parameters,
        dataset_sha256=trial.dataset.sha256,
        sample_size=trial.sample_size,
        seed=trial.seed,
        environment=environment,
        samples=result.samples,
        memory=memory or MemoryFigure(peak_bytes=0, baseline_bytes=0, method="unsupported"),
        fingerprint=scored.fingerprint,
        quality=scored.quality,
        labels=scored.labels,
        details=scored.details,
        finished_at=datetime.now(UTC),
    )
    reached(CrashPoint.ARTIFACTS_PUBLISHED)
    try:
        store.put_once(key, manifest.model_dump_json().encode())
    except ObjectExistsError:
        # The first complete one wins: an earlier attempt finished this trial before it was given up.
        return _earlier(store, key, trial) or _corrupt(trial, key, "it is no manifest of this trial")
    return Outcome(trial_id=trial.trial_id, manifest_key=key, manifest=manifest)


def _earlier(store: ObjectStore, key: str, trial: TrialAssignment) -> Outcome | None:
    """The manifest that lies in the store, if there is one and it is this trial's."""
    try:
        manifest = TrialManifest.model_validate_json(store.get(key))
    except (ObjectMissingError, ValidationError):
        return None
    if manifest.trial_id != trial.trial_id or manifest.dataset_sha256 != trial.dataset.sha256:
        return None
    return Outcome(trial_id=trial.trial_id, manifest_key=key, manifest=manifest)


def _corrupt(trial: TrialAssignment, key: str, what: str) -> Outcome:
    return Outcome(
        trial_id=trial.trial_id,
        failure=Failure.of(FailureCode.ARTIFACT_CORRUPT, f"stored object {key}: {what}", key=key),
    )

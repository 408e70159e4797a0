"""One attempt at preparing a dataset: bring the source here, prepare it in a child, publish, report."""

from __future__ import annotations

import tempfile
from pathlib import Path

from app.contracts.assignment import DatasetAssignment, DatasetReport
from app.contracts.dataset import DatasetSpec
from app.contracts.failures import Failure, FailureCode
from app.contracts.objects import ObjectMissingError, ObjectStore
from app.gateways.objects import open_store
from workers.control_plane import ControlPlane, StaleAttemptError
from workers.datasets.errors import InvalidDataset
from workers.datasets.limits import PrepareLimits
from workers.datasets.prepare import prepare
from workers.datasets.publish import publish
from workers.heartbeat import Heartbeats
from workers.measure.control import Cancelled, Control
from workers.patient_store import PatientStore
from workers.settings import WorkerSettings

SOURCE_NAME = "source"


def attempt_dataset(
    control_plane: ControlPlane, assignment: DatasetAssignment, settings: WorkerSettings
) -> DatasetReport:
    """Prepare and report; answers what was reported. A dataset that is not valid is a report too, not an error.

    Raises StaleAttemptError when the control plane has given this attempt up.
    """
    settings.scratch.mkdir(parents=True, exist_ok=True)
    control = Control()
    with (
        tempfile.TemporaryDirectory(dir=settings.scratch) as scratch,
        Heartbeats(
            lambda: control_plane.beat_dataset(assignment), assignment.heartbeat_seconds, control.cancelled
        ) as beats,
    ):
        try:
            report = _prepared(assignment, settings, control, Path(scratch))
        except Cancelled as error:
            raise StaleAttemptError("a newer attempt prepares this dataset") from error
        if not beats.fenced:
            control_plane.report_dataset(assignment, report)
    return report


def _prepared(
    assignment: DatasetAssignment, settings: WorkerSettings, control: Control, scratch: Path
) -> DatasetReport:
    store = PatientStore(open_store(settings.objects), control, settings.store_seconds)
    try:
        source = _bring(assignment, settings, store, scratch)
        files = prepare(assignment.spec, source, scratch / "prepared", PrepareLimits())
        prepared = publish(store, files)
    except InvalidDataset as error:
        return DatasetReport(attempt=assignment.attempt, failure=error.failure)
    return DatasetReport(attempt=assignment.attempt, prepared=prepared)


def _bring(assignment: DatasetAssignment, settings: WorkerSettings, store: ObjectStore, scratch: Path) -> Path | None:
    """The source as a local file; None for data that is made here. Raises InvalidDataset."""
    target = scratch / SOURCE_NAME
    source = assignment.spec.source
    try:
        if assignment.object_key is not None:
            store.download(assignment.object_key, target)
            return target
        if source.s3 is not None:
            bucket, _, key = source.s3.removeprefix("s3://").partition("/")
            store.for_bucket(bucket).download(key, target)
            return target
    except (ObjectMissingError, PermissionError, ValueError) as error:
        raise InvalidDataset(_failure(assignment.spec, str(error))) from error
    if source.path is not None:
        return _allowed_file(assignment.spec, source.path, settings.datasets.path_roots)
    return None


def _allowed_file(spec: DatasetSpec, path: str, roots: tuple[Path, ...]) -> Path:
    resolved = Path(path).resolve()
    if not any(resolved.is_relative_to(root.resolve()) for root in roots) or not resolved.is_file():
        raise InvalidDataset(_failure(spec, "no such file in the folders this worker may read"))
    return resolved


def _failure(spec: DatasetSpec, message: str) -> Failure:
    return Failure.of(FailureCode.INVALID_DATA, f"the source of {spec.name} cannot be read: {message}")

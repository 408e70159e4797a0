"""The flow that prepares a dataset version: claim, fetch the source, prepare in a child, publish, report."""

from __future__ import annotations

from uuid import UUID

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from app.contracts.assignment import DatasetClaim
from workers.control_plane import ControlPlane, StaleAttemptError
from workers.datasets.attempt import attempt_dataset
from workers.settings import WorkerSettings


@flow(name="prepare-dataset", validate_parameters=False, persist_result=False)
def prepare_dataset(dataset_id: str, attempt: int) -> None:
    log = get_run_logger()
    settings = WorkerSettings()
    claim = DatasetClaim(
        dataset_id=UUID(dataset_id), attempt=attempt, flow_run_id=str(flow_run.id), worker=settings.worker_name
    )
    with ControlPlane(settings) as control_plane:
        try:
            assignment = control_plane.claim_dataset(claim)
            report = attempt_dataset(control_plane, assignment, settings)
        except StaleAttemptError as error:
            log.warning("nothing to do: %s", error)
            return
        log.info("dataset %s: %s", assignment.spec.name, report.failure.message if report.failure else "ready")

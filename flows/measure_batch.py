"""The flow of one attempt of a batch: claim, fetch, measure, publish, report."""

from __future__ import annotations

from uuid import UUID

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from app.contracts.assignment import BatchClaim
from app.gateways.objects import open_store
from workers.attempt import Attempt, StoppedError
from workers.control_plane import ControlPlane, StaleAttemptError
from workers.measure.environment import capture
from workers.settings import WorkerSettings


@flow(name="measure-batch", validate_parameters=False, persist_result=False)
def measure_batch(batch_id: str | None = None, attempt: int | None = None, experiment_id: str | None = None) -> None:
    """A manual run names batch and attempt; a scheduled flow run its experiment, and gets its run's first batch."""
    log = get_run_logger()
    settings = WorkerSettings()
    claim = BatchClaim(
        batch_id=UUID(batch_id) if batch_id else None,
        attempt=attempt,
        experiment_id=None if batch_id or experiment_id is None else UUID(experiment_id),
        scheduled_for=None if batch_id else flow_run.scheduled_start_time,
        flow_run_id=str(flow_run.id),
        worker=settings.worker_name,
        environment=capture(),
    )
    with ControlPlane(settings) as control_plane:
        try:
            assignment = control_plane.claim_batch(claim)
            if not assignment.trials:
                log.info("every trial is reused: nothing to measure")
                return
            work = Attempt(control_plane, assignment, claim.environment, open_store(settings.objects), settings)
            with work.alive():
                log.info("measuring %d trials, %d rounds", len(assignment.trials), assignment.protocol.rounds)
                report = work.measure(log)
                work.report(report)
                log.info("reported %d outcomes", len(report.outcomes))
        except (StaleAttemptError, StoppedError) as error:
            log.warning("ended early: %s", error)

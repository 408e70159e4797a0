"""Work of a batch: exactly one flow run per attempt, or none once the run is cancelled."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from app.clock import now
from app.contracts.states import BatchState, Isolation
from app.crash_points import CrashPoint, reached
from app.db.models import Batch, Experiment, Run
from app.dispatcher.context import Context
from app.dispatcher.experiments import Place, deployment_for, experiment_tag, known_deployment
from app.dispatcher.pods import job_variables
from app.gateways.prefect import DeploymentMissingError
from app.gateways.prefect_names import run_key
from app.runs import transitions
from app.runs.guarded import lock_batch

OPEN = frozenset({BatchState.WAITING, BatchState.SUBMITTED})
# A cancelled one too: this may be the second try, after Prefect was away at the first.
WITH_A_POD = OPEN | {BatchState.RUNNING, BatchState.CANCELLED}


@dataclass(frozen=True)
class _Subject:
    batch: Batch
    run: Run
    experiment: Experiment
    deployment_id: str | None


async def submit(context: Context, batch_id: UUID) -> datetime | None:
    """A waiting batch gets a flow run; a batch of a cancelled run that no worker holds loses it."""
    subject = await _load(context, batch_id)
    if subject is None:
        return None
    if subject.run.cancel_requested:
        await _withdraw(context, subject.batch)
    elif subject.batch.state is BatchState.WAITING:
        await _start(context, subject)
    return None


async def _load(context: Context, batch_id: UUID) -> _Subject | None:
    query = (
        select(Batch, Run, Experiment)
        .join(Run, Run.id == Batch.run_id)
        .join(Experiment, Experiment.id == Run.experiment_id)
        .where(Batch.id == batch_id)
    )
    async with context.database.read() as session:
        row = (await session.execute(query)).one_or_none()
        if row is None:
            return None
        batch, run, experiment = row
        return _Subject(batch, run, experiment, await known_deployment(session, experiment.id, _place(batch)))


async def _start(context: Context, subject: _Subject) -> None:
    batch = subject.batch
    place = _place(batch)
    deployment_id = subject.deployment_id or await deployment_for(context, subject.experiment, place)
    try:
        flow_run_id = await _create(context, subject, deployment_id)
    except DeploymentMissingError:
        deployment_id = await deployment_for(context, subject.experiment, place, missing=deployment_id)
        flow_run_id = await _create(context, subject, deployment_id)
    reached(CrashPoint.FLOW_RUN_CREATED)
    with suppress(transitions.Stale):
        # A worker may have claimed the batch already: then the row is past `waiting`, and right as it is.
        async with context.database.write() as session:
            await transitions.submitted(session, batch, flow_run_id, now())


async def _create(context: Context, subject: _Subject, deployment_id: str) -> str:
    batch = subject.batch
    isolated = batch.isolation is Isolation.POD
    return await context.prefect.create_flow_run(
        deployment_id,
        key=run_key(batch.id, batch.attempt),
        name=f"{subject.experiment.name}-b{batch.position}-a{batch.attempt}",
        parameters={"batch_id": str(batch.id), "attempt": batch.attempt},
        tags=("corepoint", experiment_tag(subject.experiment.id), f"run:{batch.run_id}"),
        queue=batch.queue if isolated else None,
        job_variables=job_variables(batch, subject.run, subject.experiment, context.settings) if isolated else None,
    )


async def _withdraw(context: Context, batch: Batch) -> None:
    """A worker that holds the batch hears it in its heartbeat. A pod of its own is taken away whatever it does."""
    flow_run_id = batch.flow_run_id
    if batch.state in OPEN:
        async with context.database.write() as session:
            locked = await lock_batch(session, batch.id)
            if locked is None or locked[1].state not in OPEN:
                return
            # Another dispatcher may have submitted it since it was read.
            flow_run_id = locked[1].flow_run_id
            await transitions.cancel_batch(session, locked[1], now())
    if flow_run_id is None:
        return
    if batch.isolation is Isolation.POD and batch.state in WITH_A_POD:
        # Neither forced nor CANCELLED at once: there may be a Job, and who started it has to delete it.
        await context.prefect.set_flow_run_state(flow_run_id, "CANCELLING")
    elif batch.state in OPEN:
        # Should a worker start it all the same, its claim is refused.
        await context.prefect.set_flow_run_state(flow_run_id, "CANCELLED", force=True)


def _place(batch: Batch) -> Place:
    return (batch.queue, batch.isolation)

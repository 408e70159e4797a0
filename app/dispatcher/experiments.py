"""Work of an experiment: its schedule stands on a Prefect deployment, and goes with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.experiment import ExperimentSpec, Schedule
from app.contracts.states import Isolation, QueueName
from app.db.models import Deployment, Experiment
from app.dispatcher.context import Context
from app.gateways.prefect import DeploymentSpec, experiment_name, pods_name
from app.runs.schedule import SCHEDULED_ON

MEASURE_FLOW = "measure-batch"
MEASURE_ENTRYPOINT = "flows.measure_batch.measure_batch"
Place = tuple[QueueName, Isolation]
"""Where a batch is measured."""


async def ensure(context: Context, experiment_id: UUID) -> datetime | None:
    """A scheduled experiment has a deployment with its schedule; others get theirs with their first batch."""
    async with context.database.read() as session:
        experiment = await session.get(Experiment, experiment_id)
    if experiment is not None and ExperimentSpec.model_validate(experiment.spec).schedule is not None:
        await ensure_deployment(context, experiment, (SCHEDULED_ON, Isolation.PROCESS))
    return None


async def ensure_deployment(context: Context, experiment: Experiment, place: Place) -> str:
    """Register the experiment's deployment for batches of `place` and remember its id."""
    queue, isolation = _stands_under(place)
    isolated = isolation is Isolation.POD
    schedule = ExperimentSpec.model_validate(experiment.spec).schedule
    is_scheduled = schedule is not None and queue is SCHEDULED_ON and not isolated
    deployment_id = await context.prefect.ensure_deployment(
        DeploymentSpec(
            flow=MEASURE_FLOW,
            name=pods_name(experiment.name) if isolated else experiment_name(experiment.name, queue),
            entrypoint=MEASURE_ENTRYPOINT,
            queue=queue,
            pool=context.prefect.pods_pool if isolated else None,
            tags=("corepoint", experiment_tag(experiment.id)),
            parameters={"experiment_id": str(experiment.id)},
            schedules=(_schedule(schedule),) if is_scheduled and schedule else (),
        )
    )
    async with context.database.write() as session:
        await session.merge(
            Deployment(experiment_id=experiment.id, queue=queue, isolation=isolation, prefect_id=deployment_id)
        )
    return deployment_id


async def known_deployment(session: AsyncSession, experiment_id: UUID, place: Place) -> str | None:
    found = await session.get(Deployment, (experiment_id, *_stands_under(place)))
    return found.prefect_id if found else None


def _stands_under(place: Place) -> Place:
    """Isolated batches of all queues share a deployment; their flow runs name the queue."""
    return (QueueName.DEFAULT, Isolation.POD) if place[1] is Isolation.POD else place


async def forget(context: Context, experiment_id: UUID) -> datetime | None:
    """The experiment is deleted: so are its deployments. Prefect knows them by our tag, our rows are gone."""
    async with context.database.read() as session:
        if await session.get(Experiment, experiment_id) is not None:
            return None
    for deployment_id in await context.prefect.deployments_tagged(experiment_tag(experiment_id)):
        await context.prefect.delete_deployment(deployment_id)
    return None


def experiment_tag(experiment_id: UUID) -> str:
    return f"experiment:{experiment_id}"


def _schedule(schedule: Schedule) -> dict[str, Any]:
    rule: dict[str, Any] = (
        {"cron": schedule.cron, "timezone": schedule.timezone}
        if schedule.cron
        else {"interval": schedule.interval_seconds, "timezone": schedule.timezone}
    )
    return {"schedule": rule, "active": not schedule.paused, "slug": "corepoint"}

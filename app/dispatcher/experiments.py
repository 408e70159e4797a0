"""Work of an experiment: its schedule stands on a Prefect deployment, and goes with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.experiment import ExperimentSpec, Schedule
from app.contracts.states import QueueName
from app.db.models import Deployment, Experiment
from app.dispatcher.context import Context
from app.gateways.prefect import DeploymentSpec, experiment_name

MEASURE_FLOW = "measure-batch"
MEASURE_ENTRYPOINT = "flows.measure_batch.measure_batch"


async def ensure(context: Context, experiment_id: UUID) -> datetime | None:
    """A scheduled experiment has a deployment with its schedule; others get theirs with their first batch."""
    async with context.database.read() as session:
        experiment = await session.get(Experiment, experiment_id)
    if experiment is not None and ExperimentSpec.model_validate(experiment.spec).schedule is not None:
        await ensure_deployment(context, experiment, QueueName.DEFAULT)
    return None


async def ensure_deployment(context: Context, experiment: Experiment, queue: QueueName) -> str:
    """Register the experiment's deployment on `queue` and remember its id."""
    spec = ExperimentSpec.model_validate(experiment.spec)
    schedule = spec.schedule if queue is QueueName.DEFAULT else None
    deployment_id = await context.prefect.ensure_deployment(
        DeploymentSpec(
            flow=MEASURE_FLOW,
            name=experiment_name(experiment.name, queue),
            entrypoint=MEASURE_ENTRYPOINT,
            queue=queue,
            tags=("corepoint", experiment_tag(experiment.id)),
            parameters={"experiment_id": str(experiment.id)},
            schedules=(_schedule(schedule),) if schedule else (),
        )
    )
    async with context.database.write() as session:
        await session.merge(Deployment(experiment_id=experiment.id, queue=queue, prefect_id=deployment_id))
    return deployment_id


async def known_deployment(session: AsyncSession, experiment_id: UUID, queue: QueueName) -> str | None:
    found = await session.get(Deployment, (experiment_id, queue))
    return found.prefect_id if found else None


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

"""Work of an experiment: its schedule stands on a Prefect deployment, and goes with it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import now
from app.contracts.canonical import digest
from app.contracts.experiment import Schedule
from app.contracts.states import Isolation, QueueName
from app.db.models import Deployment, Experiment, WorkKind
from app.db.work import want
from app.dispatcher.context import Context
from app.domain.schedule import PlannedTimes
from app.gateways.prefect import OUR_TAG, DeploymentSpec
from app.gateways.prefect_names import experiment_name, pods_name
from app.runs.planned_times import schedule_of
from app.runs.schedule import SCHEDULED_ON

MEASURE_FLOW = "measure-batch"
MEASURE_ENTRYPOINT = "flows.measure_batch.measure_batch"
Place = tuple[QueueName, Isolation]
"""Where a batch is measured."""
SCHEDULED_PLACE: Place = (SCHEDULED_ON, Isolation.PROCESS)
_registering: WeakValueDictionary[tuple[UUID, Place], asyncio.Lock] = WeakValueDictionary()


async def ensure(context: Context, experiment_id: UUID) -> datetime | None:
    """The deployment with the schedule is as wanted; others come with their first batch."""
    async with context.database.read() as session:
        experiment = await session.get(Experiment, experiment_id)
        known = await known_deployment(session, experiment_id, SCHEDULED_PLACE)
    if experiment is None:
        return await forget(context, experiment_id)
    wanted = _schedules(experiment)
    if known is None:
        if not wanted:
            return None
    elif await context.prefect.deployment_schedules(known) == {(one["slug"], one["active"]) for one in wanted}:
        # Writing it again would delete what Prefect has planned.
        return None
    await deployment_for(context, experiment, SCHEDULED_PLACE, missing=known)
    return None


async def deployment_for(context: Context, experiment: Experiment, place: Place, missing: str | None = None) -> str:
    """The deployment for batches of `place`, not the one that Prefect is `missing`.

    Many batches that begin at once have it registered once: each try locks its row at Prefect, and what waits there
    holds one of its few connections.
    """
    lock = _registering.setdefault((experiment.id, place), asyncio.Lock())
    async with lock:
        async with context.database.read() as session:
            known = await known_deployment(session, experiment.id, place)
        return known if known is not None and known != missing else await ensure_deployment(context, experiment, place)


async def ensure_deployment(context: Context, experiment: Experiment, place: Place) -> str:
    """Register the experiment's deployment for batches of `place` and remember its id."""
    queue, isolation = _stands_under(place)
    isolated = isolation is Isolation.POD
    deployment_id = await context.prefect.ensure_deployment(
        DeploymentSpec(
            flow=MEASURE_FLOW,
            name=pods_name(experiment.name) if isolated else experiment_name(experiment.name, queue),
            entrypoint=MEASURE_ENTRYPOINT,
            queue=queue,
            pool=context.prefect.pods_pool if isolated else None,
            tags=(OUR_TAG, experiment_tag(experiment.id)),
            parameters={"experiment_id": str(experiment.id)},
            schedules=_schedules(experiment) if (queue, isolation) == SCHEDULED_PLACE else (),
        )
    )
    async with context.database.write() as session:
        present = await session.get(Experiment, experiment.id)
        if present is None or present.spec != experiment.spec:
            # It changed while we told Prefect what it was, and who told Prefect the new may have been sooner.
            await want(session, WorkKind.EXPERIMENT, experiment.id, now())
        if present is not None:
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


def _schedules(experiment: Experiment) -> tuple[dict[str, Any], ...]:
    """As Prefect takes them; the slug tells one rule from another."""
    schedule = schedule_of(experiment)
    if schedule is None:
        return ()
    rule = _rule(schedule, experiment.created_at)
    return ({"schedule": rule, "active": not schedule.paused, "slug": f"corepoint-{digest(rule)[:16]}"},)


def _rule(schedule: Schedule, created_at: datetime) -> dict[str, Any]:
    if schedule.cron is not None:
        return {"cron": schedule.cron, "timezone": schedule.timezone}
    # In UTC and from a given time on, or Prefect would count from each time that it is told.
    anchor = PlannedTimes(schedule, created_at).anchor
    return {"interval": schedule.interval_seconds, "anchor_date": anchor.isoformat(), "timezone": "UTC"}

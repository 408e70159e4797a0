"""Schedules at a real Prefect server: what it planned is adopted, refused or ended, and it is told every change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from api_builders import ENVIRONMENT, World
from sqlalchemy import select

from app.clock import now
from app.contracts.states import BatchState
from app.db.models import Batch, Experiment, Run, Work, WorkKind
from app.dispatcher import adopted, experiments, registered
from app.dispatcher.context import Context

HOURLY = {"intervalSeconds": 3600}
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
# Where locks are real. What Prefect is told does not depend on our own database.
pytestmark = pytest.mark.parametrize("backend", ["postgresql+minio"], indirect=True)


@pytest.fixture
def settings_values(prefect_url: str) -> dict[str, Any]:
    return {"prefect": {"api_url": prefect_url, "pool": f"pool-{uuid4().hex}"}}


@dataclass(frozen=True)
class Planned:
    """Flow runs for times before the experiment was made, for the one that has come, and for those that will."""

    before: list[dict[str, Any]]
    due: dict[str, Any]
    coming: list[dict[str, Any]]


def planned_for(flow_run: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(flow_run["expected_start_time"])


@dataclass
class Dispatcher:
    """A dispatcher over the world's database; `asks` reads Prefect beside it, and plays its scheduler."""

    context: Context
    asks: httpx.AsyncClient

    async def told(self, experiment: dict[str, Any]) -> dict[str, Any]:
        """Prefect's deployment, after the dispatcher has dealt with the experiment."""
        await experiments.ensure(self.context, UUID(experiment["id"]))
        (found,) = await self.ask("/deployments/filter", {"deployments": {"tags": {"all_": [self.tag(experiment)]}}})
        return dict(found)

    async def plans(self, deployment: dict[str, Any]) -> Planned:
        """Prefect's scheduler comes by, as it would have come two hours ago."""
        begin = {"start_time": (now() - 2 * HOUR).isoformat(), "min_time": 4 * HOUR.total_seconds()}
        await self.ask(f"/deployments/{deployment['id']}/schedule", {**begin, "max_runs": 10})
        found = await self.ask("/flow_runs/filter", {"deployments": {"id": {"any_": [deployment["id"]]}}})
        by_time = sorted(found, key=planned_for)
        *before, due = [one for one in by_time if planned_for(one) <= now()]
        return Planned(before, due, [one for one in by_time if planned_for(one) > now()])

    async def ask(self, path: str, body: Any) -> Any:
        answer = await self.asks.post(path, json=body)
        while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # SQLite, and Prefect's own loops write, too
            await asyncio.sleep(0.1)
            answer = await self.asks.post(path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def flow_run(self, flow_run: dict[str, Any]) -> dict[str, Any]:
        answer = await self.asks.get(f"/flow_runs/{flow_run['id']}")
        answer.raise_for_status()
        return dict(answer.json())

    async def ends(self, flow_run: dict[str, Any]) -> dict[str, Any]:
        """Its state, once a turn has ended it: what Prefect's own loops change at that moment is seen by the next."""
        for _ in range(50):
            await adopted.reconcile(self.context)
            state = (await self.flow_run(flow_run))["state"]
            if state["type"] != "SCHEDULED":
                break
            await asyncio.sleep(0.1)
        return dict(state)

    @staticmethod
    def tag(experiment: dict[str, Any]) -> str:
        return f"experiment:{experiment['id']}"


@pytest.fixture
async def dispatcher(context: Context) -> AsyncIterator[Dispatcher]:
    await registered.reconcile(context)
    async with httpx.AsyncClient(base_url=context.settings.prefect.api_url, timeout=20) as asks:
        yield Dispatcher(context, asks)


async def hourly(world: World, **changes: Any) -> dict[str, Any]:
    """An experiment whose first planned time came a minute ago."""
    await world.dataset()
    experiment = await world.experiment(schedule=HOURLY, **changes)
    async with world.resources.database.write() as session:
        row = await session.get(Experiment, UUID(experiment["id"]))
        assert row is not None
        assert row.scheduled_until is not None
        assert row.scheduled_next is not None
        row.created_at -= HOUR + MINUTE
        row.scheduled_until -= HOUR + MINUTE
        row.scheduled_next -= HOUR + MINUTE
    return experiment


async def batches(world: World) -> list[Batch]:
    async with world.resources.database.read() as session:
        return list(await session.scalars(select(Batch).order_by(Batch.position)))


async def runs(world: World) -> list[datetime | None]:
    async with world.resources.database.read() as session:
        return list(await session.scalars(select(Run.scheduled_for)))


async def is_wished(world: World, kind: WorkKind, experiment: dict[str, Any]) -> bool:
    async with world.resources.database.read() as session:
        return await session.get(Work, (kind, UUID(experiment["id"]))) is not None


async def claim(world: World, experiment: dict[str, Any], flow_run: dict[str, Any]) -> httpx.Response:
    asked = {
        "experiment_id": experiment["id"],
        "scheduled_for": flow_run["expected_start_time"],
        "flow_run_id": flow_run["id"],
        "worker": "w",
        "environment": ENVIRONMENT.model_dump(mode="json"),
    }
    return await world.internal.post("/internal/v1/batches:claim", json=asked)


async def test_a_pool_that_somebody_else_made_gets_our_queues_and_the_schedules(world: World, context: Context) -> None:
    """A Prefect that was emptied, and whose pool came back without its queues: a worker would take nothing."""
    experiment = await hourly(world)
    settings = context.settings.prefect
    async with httpx.AsyncClient(base_url=settings.api_url, timeout=20) as asks:
        (await asks.post("/work_pools/", json={"name": settings.pool, "type": "process"})).raise_for_status()
        assert await registered.reconcile(context) == 1
        queues = (await asks.post(f"/work_pools/{settings.pool}/queues/filter", json={})).json()
        assert {queue["name"] for queue in queues} >= {"default", "high-memory", "spark", "priority"}
    assert await is_wished(world, WorkKind.EXPERIMENT, experiment)
    assert await registered.reconcile(context) == 0


async def test_a_due_flow_run_has_its_run_before_a_worker_takes_it(world: World, dispatcher: Dispatcher) -> None:
    experiment = await hourly(world)
    planned = await dispatcher.plans(await dispatcher.told(experiment))
    due = planned.due
    assert await adopted.reconcile(dispatcher.context) == 1 + len(planned.before)
    (batch,) = await batches(world)
    assert (batch.state, batch.flow_run_id) == (BatchState.SUBMITTED, due["id"])
    assert await runs(world) == [datetime.fromisoformat(due["expected_start_time"])]
    seen = await dispatcher.flow_run(due)
    assert seen["parameters"] == {"batch_id": str(batch.id), "attempt": 1}
    assert seen["state"]["type"] == "SCHEDULED"
    # Planned for a time before the experiment was made: nobody's.
    assert {(await dispatcher.flow_run(one))["state"]["type"] for one in planned.before} == {"CANCELLED"}
    assert {(await dispatcher.flow_run(one))["state"]["type"] for one in planned.coming} == {"SCHEDULED"}
    assert await adopted.reconcile(dispatcher.context) == 0, "each is dealt with once"
    # A worker that read the flow run before it was adopted claims by time.
    claimed = await claim(world, experiment, due)
    assert (claimed.status_code, claimed.json()["batch_id"]) == (200, str(batch.id))


async def test_a_dispatcher_that_died_before_it_told_prefect_is_followed_up(
    world: World, dispatcher: Dispatcher
) -> None:
    experiment = await hourly(world)
    due = (await dispatcher.plans(await dispatcher.told(experiment))).due
    await adopted.reconcile(dispatcher.context)
    forgotten = {"parameters": {"experiment_id": experiment["id"]}, "tags": due["tags"]}
    (await dispatcher.asks.patch(f"/flow_runs/{due['id']}", json=forgotten)).raise_for_status()
    assert await adopted.reconcile(dispatcher.context) == 1
    assert (await dispatcher.flow_run(due))["parameters"]["batch_id"] == str((await batches(world))[0].id)


async def test_two_dispatchers_and_the_flow_run_itself_make_one_run(world: World, dispatcher: Dispatcher) -> None:
    experiment = await hourly(world)
    due = (await dispatcher.plans(await dispatcher.told(experiment))).due
    turns = asyncio.gather(*(adopted.reconcile(dispatcher.context) for _ in range(3)))
    claimed, _ = await asyncio.gather(claim(world, experiment, due), turns)
    assert claimed.status_code == 200, claimed.text
    assert await runs(world) == [datetime.fromisoformat(due["expected_start_time"])]
    (batch,) = await batches(world)
    assert (batch.state, batch.flow_run_id, batch.attempt) == (BatchState.RUNNING, due["id"], 1)


async def test_a_flow_run_without_a_batch_for_its_worker_is_ended_and_the_batches_are_sent_on(
    world: World, dispatcher: Dispatcher
) -> None:
    experiment = await hourly(world, queue="high-memory")
    due = (await dispatcher.plans(await dispatcher.told(experiment))).due
    state = await dispatcher.ends(due)
    assert state["type"] == "COMPLETED"
    assert state["message"] == "No batch of the run is for a worker of default; others take what there is."
    (batch,) = await batches(world)
    assert (batch.queue, batch.state) == ("high-memory", BatchState.WAITING)


async def test_prefect_is_told_what_changed_and_nothing_else(world: World, dispatcher: Dispatcher) -> None:
    await world.dataset()
    experiment = await world.experiment(schedule={"cron": "0 5 * * *", "timezone": "Europe/Berlin"})
    first = await dispatcher.told(experiment)
    assert first["schedules"][0]["schedule"]["cron"] == "0 5 * * *"
    assert (await dispatcher.told(experiment))["updated"] == first["updated"], "it is as wanted"
    path = "/v1/experiments/first/schedule"
    await world.api.post(f"{path}/pause")
    assert [one["active"] for one in (await dispatcher.told(experiment))["schedules"]] == [False]
    await world.api.put(path, json=HOURLY)
    (hourly,) = (await dispatcher.told(experiment))["schedules"]
    created = datetime.fromisoformat(experiment["created_at"]).replace(microsecond=0)
    assert datetime.fromisoformat(hourly["schedule"]["anchor_date"]) == created
    await world.api.delete(path)
    assert (await dispatcher.told(experiment))["schedules"] == []
    # Its database was emptied, or somebody tidied up.
    (await dispatcher.asks.delete(f"/deployments/{first['id']}")).raise_for_status()
    assert (await dispatcher.told(experiment))["id"] != first["id"]


async def test_what_prefect_planned_for_a_schedule_that_is_gone_starts_nothing(
    world: World, dispatcher: Dispatcher
) -> None:
    experiment = await hourly(world)
    planned = await dispatcher.plans(await dispatcher.told(experiment))
    due = planned.due
    await world.api.delete("/v1/experiments/first/schedule")
    (kept,) = await runs(world)
    assert kept == datetime.fromisoformat(due["expected_start_time"]), "that time came under the schedule"
    await dispatcher.told(experiment)
    for one in planned.coming:
        assert (await dispatcher.asks.get(f"/flow_runs/{one['id']}")).status_code == 404
        assert (await claim(world, experiment, one)).status_code == 409
    await adopted.reconcile(dispatcher.context)
    assert (await dispatcher.flow_run(due))["state"]["type"] == "CANCELLED"
    assert await runs(world) == [kept]


async def test_a_deployment_that_outlived_its_experiment_is_found_and_removed(
    world: World, dispatcher: Dispatcher
) -> None:
    experiment = await hourly(world)
    async with world.resources.database.read() as session:
        row = await session.get(Experiment, UUID(experiment["id"]))
    assert row is not None
    assert (await world.api.delete("/v1/experiments/first")).status_code == 204
    # A dispatcher that was frozen meanwhile wakes and tells Prefect of the experiment that it knew.
    await experiments.ensure_deployment(dispatcher.context, row, experiments.SCHEDULED_PLACE)
    assert await is_wished(world, WorkKind.EXPERIMENT, experiment)
    (deployment,) = await dispatcher.ask(
        "/deployments/filter", {"deployments": {"tags": {"all_": [dispatcher.tag(experiment)]}}}
    )
    await dispatcher.plans(deployment)
    await adopted.reconcile(dispatcher.context)
    assert await is_wished(world, WorkKind.FORGET, experiment)
    await experiments.ensure(dispatcher.context, UUID(experiment["id"]))
    assert not await dispatcher.context.prefect.deployments_tagged(dispatcher.tag(experiment))
    assert not await runs(world)

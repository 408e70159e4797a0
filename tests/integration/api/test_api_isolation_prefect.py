"""Isolated trials at a real Prefect server: pool, deployment, flow runs, and how each is cancelled."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from api_builders import World
from sqlalchemy import update

from app.clock import now
from app.contracts.states import BatchState
from app.db.models import Batch
from app.dispatcher import batches, experiments, registered
from app.dispatcher.context import Context
from app.dispatcher.pods import PodTemplateError
from app.dispatcher.stuck import StuckFlowRuns
from app.settings import LeaseSettings, Settings

TEMPLATE = Path(__file__).parents[3] / "charts/corepoint/files/base-job-template.json"
POD = {"isolation": "pod", "rounds": 2}
# What the dispatcher tells Prefect does not depend on our own database.
pytestmark = pytest.mark.parametrize("backend", ["sqlite+folder"], indirect=True)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    copy = tmp_path / "base-job-template.json"
    copy.write_text(TEMPLATE.read_text())
    return copy


@pytest.fixture
def settings_values(prefect_url: str, template: Path) -> dict[str, Any]:
    return {
        "pod_isolation": True,
        "prefect": {"api_url": prefect_url, "pod_template": str(template)},
        "pods": {"concurrency": 4},
    }


@dataclass
class Dispatcher:
    """A dispatcher over the world's database; `asks` reads Prefect beside it."""

    context: Context
    asks: httpx.AsyncClient

    async def read(self, path: str) -> dict[str, Any]:
        answer = await self.asks.get(path)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def batch(self, batch_id: str) -> Batch:
        async with self.context.database.read() as session:
            row = await session.get(Batch, UUID(batch_id))
        assert row is not None
        return row

    async def submitted(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The flow run that the batch got."""
        await batches.submit(self.context, UUID(batch["id"]))
        row = await self.batch(batch["id"])
        assert row.state is BatchState.SUBMITTED
        return await self.read(f"/flow_runs/{row.flow_run_id}")

    async def worker_says(self, flow_run: dict[str, Any], state: str, job: str | None = None) -> None:
        """As the worker of the pool would: take the flow run, and note the Job that was made."""
        path = f"/flow_runs/{flow_run['id']}"
        (await self.asks.post(f"{path}/set_state", json={"state": {"type": state}})).raise_for_status()
        if job is not None:
            (await self.asks.patch(path, json={"infrastructure_pid": job})).raise_for_status()

    async def state(self, flow_run: dict[str, Any]) -> str:
        return str((await self.read(f"/flow_runs/{flow_run['id']}"))["state"]["type"])


@pytest.fixture
async def dispatcher(context: Context) -> AsyncIterator[Dispatcher]:
    await registered.reconcile(context)
    async with httpx.AsyncClient(base_url=context.settings.prefect.api_url, timeout=20) as asks:
        yield Dispatcher(context, asks)


async def isolated(world: World, name: str, **changes: Any) -> tuple[str, list[dict[str, Any]]]:
    await world.dataset()
    return await world.planned(name, **{"protocol": POD, **changes})


async def test_both_pools_are_registered_and_the_one_of_processes_stays_as_it_was(dispatcher: Dispatcher) -> None:
    pods = await dispatcher.read("/work_pools/corepoint-pods")
    assert (pods["type"], pods["concurrency_limit"]) == ("kubernetes", 4)
    assert pods["base_job_template"] == json.loads(TEMPLATE.read_text())
    assert (await dispatcher.read("/work_pools/corepoint"))["type"] == "process"
    found = await dispatcher.asks.post("/work_pools/corepoint-pods/queues/filter", json={})
    assert {queue["name"] for queue in found.json()} == {"default", "high-memory", "priority", "spark"}
    assert await registered.reconcile(dispatcher.context) == 0, "nothing is left to repair"


async def test_an_upgrade_changes_the_template_of_the_pool(dispatcher: Dispatcher, template: Path) -> None:
    for image in ("corepoint/worker:next", "corepoint/worker:0.0.0"):
        changed = with_image(template, image)
        assert await registered.reconcile(dispatcher.context) == 1
        assert (await dispatcher.read("/work_pools/corepoint-pods"))["base_job_template"] == changed


def with_image(template: Path, image: str) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(template.read_text())
    changed["variables"]["properties"]["image"]["default"] = image
    template.write_text(json.dumps(changed))
    return changed


async def test_without_a_template_the_dispatcher_says_what_to_set(dispatcher: Dispatcher) -> None:
    context = dispatcher.context
    nowhere = context.settings.prefect.model_copy(update={"pod_template": None})
    settings = context.settings.model_copy(update={"prefect": nowhere})
    with pytest.raises(PodTemplateError, match="COREPOINT_PREFECT__POD_TEMPLATE"):
        await registered.reconcile(replace(context, settings=settings))


async def test_where_pods_are_not_allowed_their_pool_is_not_looked_at(dispatcher: Dispatcher) -> None:
    settings = Settings.model_validate({"prefect": {"api_url": dispatcher.context.settings.prefect.api_url}})
    assert await registered.reconcile(replace(dispatcher.context, settings=settings)) == 0


async def test_an_isolated_batch_is_a_flow_run_of_the_pods_pool_with_its_own_size(
    world: World, dispatcher: Dispatcher
) -> None:
    run_id, (first, second) = await isolated(world, "sized")
    flow_run = await dispatcher.submitted(first)
    row = await dispatcher.batch(first["id"])
    assert row.memory_limit_bytes is not None
    assert flow_run["job_variables"] == {
        "name": f"batch-{first['id']}-a1",
        "cpu": "2",
        "memory": str(row.memory_limit_bytes + (512 << 20)),
        "experiment": "sized",
        "run": run_id,
        "batch": first["id"],
        "attempt": "1",
        "queue": "default",
    }
    assert (flow_run["work_pool_name"], flow_run["work_queue_name"]) == ("corepoint-pods", "default")
    assert flow_run["parameters"]["batch_id"] == first["id"]
    deployment = await dispatcher.read(f"/deployments/{flow_run['deployment_id']}")
    assert (deployment["name"], deployment["work_pool_name"]) == ("sized.pods", "corepoint-pods")
    assert (await dispatcher.submitted(second))["deployment_id"] == flow_run["deployment_id"]


async def test_one_deployment_serves_every_queue_of_the_experiment(world: World, dispatcher: Dispatcher) -> None:
    _, (batch,) = await isolated(world, "elsewhere", queue="high-memory", algorithms=[{"algorithm": "sklearn-dbscan"}])
    flow_run = await dispatcher.submitted(batch)
    assert (flow_run["work_queue_name"], flow_run["job_variables"]["cpu"]) == ("high-memory", "4")
    deployment = await dispatcher.read(f"/deployments/{flow_run['deployment_id']}")
    assert (deployment["name"], deployment["work_queue_name"]) == ("elsewhere.pods", "default")


async def test_shared_batches_go_where_they_went(world: World, dispatcher: Dispatcher) -> None:
    await world.dataset()
    _, (batch,) = await world.planned("shared")
    flow_run = await dispatcher.submitted(batch)
    assert (flow_run["work_pool_name"], flow_run["work_queue_name"]) == ("corepoint", "default")
    assert flow_run["job_variables"] == {}
    deployment = await dispatcher.read(f"/deployments/{flow_run['deployment_id']}")
    assert deployment["name"] == "shared.default"


async def test_the_schedule_stands_on_default_and_never_on_the_pods(world: World, dispatcher: Dispatcher) -> None:
    await world.dataset()
    experiment = await world.experiment("nightly", schedule={"intervalSeconds": 3600}, protocol=POD)
    await experiments.ensure(dispatcher.context, UUID(experiment["id"]))
    started = await world.api.post("/v1/experiments/nightly/runs")
    assert started.status_code == 202
    (batch, _) = await world.plan(started.json()["id"])
    flow_run = await dispatcher.submitted(batch)
    pods = await dispatcher.read(f"/deployments/{flow_run['deployment_id']}")
    assert pods["schedules"] == []
    found = await dispatcher.asks.post(
        "/deployments/filter", json={"deployments": {"name": {"any_": ["nightly.default"]}}}
    )
    assert [len(deployment["schedules"]) for deployment in found.json()] == [1]


async def cancelled(world: World, dispatcher: Dispatcher, run_id: str, batch: dict[str, Any]) -> None:
    assert (await world.api.post(f"/v1/runs/{run_id}/cancel")).status_code == 202
    await batches.submit(dispatcher.context, UUID(batch["id"]))


async def test_cancelled_before_any_worker_saw_it_the_flow_run_ends_at_once(
    world: World, dispatcher: Dispatcher
) -> None:
    run_id, (batch, _) = await isolated(world, "unseen")
    flow_run = await dispatcher.submitted(batch)
    await cancelled(world, dispatcher, run_id, batch)
    assert await dispatcher.state(flow_run) == "CANCELLED"


async def test_cancelled_while_its_pod_waits_the_worker_is_told_to_take_the_job_away(
    world: World, dispatcher: Dispatcher
) -> None:
    run_id, (batch, _) = await isolated(world, "pending")
    flow_run = await dispatcher.submitted(batch)
    await dispatcher.worker_says(flow_run, "PENDING", job="corepoint:batch-1")
    await cancelled(world, dispatcher, run_id, batch)
    assert await dispatcher.state(flow_run) == "CANCELLING"
    assert (await dispatcher.batch(batch["id"])).state is BatchState.CANCELLED


async def test_cancelled_while_it_runs_its_job_is_taken_away_whatever_the_flow_does(
    world: World, dispatcher: Dispatcher
) -> None:
    run_id, (batch, _) = await isolated(world, "running")
    flow_run = await dispatcher.submitted(batch)
    await dispatcher.worker_says(flow_run, "PENDING", job="corepoint:batch-1")
    await dispatcher.worker_says(flow_run, "RUNNING")
    await world.claimed(batch, str(flow_run["id"]))
    await cancelled(world, dispatcher, run_id, batch)
    assert await dispatcher.state(flow_run) == "CANCELLING"
    assert (await dispatcher.batch(batch["id"])).state is BatchState.RUNNING, "its heartbeat hears it"


async def test_a_cancel_that_prefect_did_not_hear_is_told_again(world: World, dispatcher: Dispatcher) -> None:
    run_id, (batch, _) = await isolated(world, "unheard")
    flow_run = await dispatcher.submitted(batch)
    await dispatcher.worker_says(flow_run, "PENDING", job="corepoint:batch-1")
    await cancelled(world, dispatcher, run_id, batch)
    await dispatcher.asks.post(
        f"/flow_runs/{flow_run['id']}/set_state", json={"state": {"type": "PENDING"}, "force": True}
    )
    await batches.submit(dispatcher.context, UUID(batch["id"]))
    assert await dispatcher.state(flow_run) == "CANCELLING"


@pytest.mark.parametrize(("job", "state", "repaired"), [("corepoint:batch-1", "PENDING", 0), (None, "SCHEDULED", 1)])
async def test_a_pod_may_wait_for_a_node_but_a_flow_run_without_a_job_is_given_out_again(
    world: World, dispatcher: Dispatcher, job: str | None, state: str, repaired: int
) -> None:
    _, (batch, _) = await isolated(world, f"waits-{repaired}")
    flow_run = await dispatcher.submitted(batch)
    await dispatcher.worker_says(flow_run, "PENDING", job=job)
    async with dispatcher.context.database.write() as session:
        await session.execute(update(Batch).values(submitted_at=now() - timedelta(minutes=5)))
    # It was taken this moment: how long it had waited before says nothing.
    assert await StuckFlowRuns().reconcile(dispatcher.context) == 0
    settings = dispatcher.context.settings
    impatient = settings.model_copy(update={"leases": LeaseSettings(pending_seconds=0.0)})
    assert await StuckFlowRuns().reconcile(replace(dispatcher.context, settings=impatient)) == repaired
    assert await dispatcher.state(flow_run) == state


async def test_ended_flow_runs_of_ours_are_deleted_by_age_and_open_ones_stay(
    world: World, dispatcher: Dispatcher
) -> None:
    _, batches = await isolated(world, "aged")
    ended, going = [await dispatcher.submitted(batch) for batch in batches[:2]]
    for state in ("PENDING", "RUNNING", "COMPLETED"):
        await dispatcher.worker_says(ended, state)
    prefect = dispatcher.context.prefect
    assert await prefect.delete_flow_runs(ended_before=now() - timedelta(days=1)) == 0
    assert await prefect.delete_flow_runs(ended_before=now() + timedelta(minutes=1)) > 0
    assert (await dispatcher.asks.get(f"/flow_runs/{ended['id']}")).status_code == 404
    assert await dispatcher.state(going) == "SCHEDULED"
    assert await prefect.delete_flow_runs(ended_before=now() + timedelta(minutes=1)) == 0

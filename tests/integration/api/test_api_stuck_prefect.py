"""Flow runs that no worker will ever start, at a real Prefect server: forgotten, ended, or taken by nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from api_builders import World
from sqlalchemy import func, select, update

from app.clock import new_id, now
from app.contracts.states import BatchState, QueueName
from app.db.models import Batch, Dataset, Work, WorkKind
from app.dispatcher import batches, datasets, registered
from app.dispatcher.context import Context
from app.dispatcher.stuck import StuckFlowRuns
from app.gateways.prefect import FLOW_RUNS_PAGE

LONG_AGO = timedelta(hours=1)
# What Prefect is told does not depend on our own database.
pytestmark = pytest.mark.parametrize("backend", ["postgresql+minio"], indirect=True)


@pytest.fixture
def settings_values(prefect_url: str) -> dict[str, Any]:
    return {"prefect": {"api_url": prefect_url, "pool": f"pool-{uuid4().hex}"}, "leases": {"pending_seconds": 1.0}}


@dataclass
class Dispatcher:
    """A dispatcher over the world's database; `asks` plays Prefect's worker beside it."""

    context: Context
    asks: httpx.AsyncClient

    async def submitted(self, world: World) -> Batch:
        """A batch that got its flow run an hour ago."""
        await world.dataset()
        _, (batch, *_) = await world.planned()
        await batches.submit(self.context, UUID(batch["id"]))
        async with self.context.database.write() as session:
            await session.execute(update(Batch).values(submitted_at=now() - LONG_AGO))
        return await self.batch(UUID(batch["id"]))

    async def batch(self, batch_id: UUID) -> Batch:
        async with self.context.database.read() as session:
            row = await session.get(Batch, batch_id)
        assert row is not None
        return row

    async def batches(self, state: BatchState) -> int:
        async with self.context.database.read() as session:
            found = await session.scalar(select(func.count()).select_from(Batch).where(Batch.state == state))
        return found or 0

    async def set_state(self, flow_run_id: str | None, state: str) -> None:
        answer = await self.asks.post(f"/flow_runs/{flow_run_id}/set_state", json={"state": {"type": state}})
        answer.raise_for_status()


@pytest.fixture
async def dispatcher(context: Context) -> AsyncIterator[Dispatcher]:
    await registered.reconcile(context)
    async with httpx.AsyncClient(base_url=context.settings.prefect.api_url, timeout=20) as asks:
        yield Dispatcher(context, asks)


async def queued_beside(world: World, first: Batch, count: int, flow_run_id: str | None, since: datetime) -> None:
    """`count` more submitted batches of the same run, by one flow run, or each by one that Prefect never had."""
    async with world.resources.database.write() as session:
        for number in range(count):
            session.add(
                Batch(
                    id=new_id(), run_id=first.run_id, position=first.position + 1 + number, queue=QueueName.DEFAULT,
                    state=BatchState.SUBMITTED, estimated_seconds=1.0, order_seed=0,
                    flow_run_id=flow_run_id or str(uuid4()), submitted_at=since,
                )
            )  # fmt: skip


async def test_what_prefect_forgot_is_all_submitted_again_within_a_turn(world: World, dispatcher: Dispatcher) -> None:
    known = await dispatcher.submitted(world)
    await queued_beside(world, known, 2 * FLOW_RUNS_PAGE + 1, None, now() - LONG_AGO)
    assert await StuckFlowRuns().reconcile(dispatcher.context) == 2 * FLOW_RUNS_PAGE + 1
    assert await dispatcher.batches(BatchState.WAITING) == 2 * FLOW_RUNS_PAGE + 1
    assert (await dispatcher.batch(known.id)).state is BatchState.SUBMITTED
    async with dispatcher.context.database.read() as session:
        wanted = await session.scalar(select(func.count()).select_from(Work).where(Work.kind == WorkKind.BATCH))
        attempts = set(await session.scalars(select(Batch.attempt)))
    assert wanted is not None
    assert wanted >= 2 * FLOW_RUNS_PAGE + 1
    assert attempts == {1}, "nobody lost anything"


async def test_behind_hundreds_that_wait_rightly_the_one_that_is_stuck_is_found(
    world: World, dispatcher: Dispatcher
) -> None:
    known = await dispatcher.submitted(world)
    await queued_beside(world, known, FLOW_RUNS_PAGE, known.flow_run_id, now() - 2 * LONG_AGO)
    await queued_beside(world, known, 1, None, now() - LONG_AGO / 2)
    stuck = StuckFlowRuns()
    repaired = [await stuck.reconcile(dispatcher.context) for _ in range(3)]
    assert repaired == [0, 1, 0]
    assert await dispatcher.batches(BatchState.SUBMITTED) == FLOW_RUNS_PAGE + 1


async def test_an_ended_flow_run_ends_its_attempt_unless_the_batch_was_heard_meanwhile(
    world: World, dispatcher: Dispatcher
) -> None:
    batch = await dispatcher.submitted(world)
    assignment = await world.claimed({"id": str(batch.id), "attempt": 1}, str(batch.flow_run_id))
    await dispatcher.set_state(batch.flow_run_id, "CRASHED")
    assert await StuckFlowRuns().reconcile(dispatcher.context) == 0, "it was heard a moment ago"
    async with dispatcher.context.database.write() as session:
        await session.execute(update(Batch).values(lease_until=now() + timedelta(seconds=10)))
    assert await StuckFlowRuns().reconcile(dispatcher.context) == 1
    row = await dispatcher.batch(batch.id)
    assert (row.state, row.attempt) == (BatchState.WAITING, 2)
    assert (await world.say("heartbeat", assignment, progress={})).json()["fenced"]


async def test_a_flow_run_that_its_worker_never_started_is_given_out_again_but_not_one_that_runs(
    world: World, dispatcher: Dispatcher
) -> None:
    batch = await dispatcher.submitted(world)
    await dispatcher.set_state(batch.flow_run_id, "PENDING")
    assert await StuckFlowRuns().reconcile(dispatcher.context) == 0, "it was taken this moment"
    impatient = dispatcher.context.settings.leases.model_copy(update={"pending_seconds": -60.0})
    settings = dispatcher.context.settings.model_copy(update={"leases": impatient})
    late = Context(**{**vars(dispatcher.context), "settings": settings})
    assert await StuckFlowRuns().reconcile(late) == 1
    states = await late.prefect.flow_run_states([str(batch.flow_run_id)])
    assert [state.type for state in states.values()] == ["SCHEDULED"]
    await dispatcher.set_state(batch.flow_run_id, "RUNNING")
    assert await StuckFlowRuns().reconcile(late) == 0


async def test_a_dataset_that_prefect_forgot_loses_no_attempt(world: World, dispatcher: Dispatcher) -> None:
    created = await world.api.post(
        "/v1/datasets", json={"name": "late", "source": {"generate": {"kind": "blobs", "n": 1000}}}
    )
    dataset_id = UUID(created.json()["id"])
    await datasets.submit(dispatcher.context, dataset_id)
    async with dispatcher.context.database.write() as session:
        forgotten = {"flow_run_id": str(uuid4()), "submitted_at": now() - LONG_AGO}
        await session.execute(update(Dataset).where(Dataset.id == dataset_id).values(**forgotten))
    assert await StuckFlowRuns().reconcile(dispatcher.context) == 1
    async with dispatcher.context.database.read() as session:
        row = await session.get(Dataset, dataset_id)
    assert row is not None
    assert (row.attempt, row.flow_run_id) == (1, None)
    await datasets.submit(dispatcher.context, dataset_id)
    assert await StuckFlowRuns().reconcile(dispatcher.context) == 0


async def test_a_pool_that_is_not_there_has_no_workers_that_departed(dispatcher: Dispatcher) -> None:
    prefect = dispatcher.context.prefect
    assert await prefect.offline_workers("nowhere") == []
    await prefect.delete_worker("nowhere", "nobody")

"""Trials with a pod of their own, from the specification to the claim; and what scheduled flow runs leave to others."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from api_builders import ENVIRONMENT, World, failure, prepared
from sqlalchemy import select

from app.contracts.failures import FailureCode
from app.contracts.states import QueueName
from app.db.models import Batch, Trial, Work, WorkKind
from app.domain.isolation import sample_limit

GIB = 2**30
POD = {"isolation": "pod", "rounds": 2}
THREE = [{"algorithm": "sklearn-dbscan"}, {"algorithm": "sklearn-dbscan-parallel"}, {"algorithm": "spark-dbscan"}]


@pytest.fixture
def settings_values() -> dict[str, Any]:
    return {"pod_isolation": True}


async def scheduled(world: World, experiment: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The claim of a flow run that the schedule on `default` has started."""
    asked = {
        "experiment_id": experiment["id"],
        "scheduled_for": experiment["next_scheduled_for"],
        "flow_run_id": "scheduled-1",
        "worker": "w",
        "environment": ENVIRONMENT.model_dump(mode="json"),
    }
    answer = await world.internal.post("/internal/v1/batches:claim", json=asked)
    return answer.status_code, answer.json()


async def wished_batches(world: World) -> set[str]:
    async with world.resources.database.read() as session:
        found = await session.scalars(select(Work.entity_id).where(Work.kind == WorkKind.BATCH))
        return {str(one) for one in found}


async def test_every_isolated_trial_is_a_batch_and_what_is_distributed_stays_on_spark(world: World) -> None:
    await world.dataset()
    _, batches = await world.planned(algorithms=THREE, protocol=POD)
    assert [(batch["queue"], batch["isolation"], len(batch["trial_ids"])) for batch in batches] == [
        ("default", "pod", 1),
        ("default", "pod", 1),
        ("spark", "process", 1),
    ]


async def test_the_claim_says_the_very_limit_that_the_pod_is_made_for(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned(protocol=POD)
    trials = {trial["id"]: trial for trial in await world.trials(run_id)}
    for batch in batches:
        (trial_id,) = batch["trial_ids"]
        expected = sample_limit(trials[trial_id]["predicted_bytes"], None, 6 * GIB)
        assert expected < 6 * GIB
        assignment = await world.claimed(batch)
        assert (assignment["isolation"], assignment["memory_limit_bytes"]) == ("pod", expected)
        assert not assignment["memory_limit_is_users"]


@pytest.mark.parametrize(
    ("asked", "limit", "is_users"), [("4GiB", 4 * GIB, True), ("20GiB", 6 * GIB, False)], ids=["held", "capped"]
)
async def test_the_users_limit_counts_as_far_as_the_queue_has_it(
    world: World, asked: str, limit: int, is_users: bool
) -> None:
    await world.dataset()
    _, batches = await world.planned(protocol={**POD, "limits": {"memory": asked}})
    assignment = await world.claimed(batches[0])
    assert (assignment["memory_limit_bytes"], assignment["memory_limit_is_users"]) == (limit, is_users)


async def test_a_trial_that_outgrew_its_pod_gets_another_with_all_that_the_queue_has(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned(algorithms=THREE[:1], protocol=POD)
    limits = []
    for queue in ("default", "high-memory"):
        assignment = await world.claimed(batches[-1])
        limits.append(assignment["memory_limit_bytes"])
        told = await world.report(assignment, [failure(assignment["trials"][0], FailureCode.MEMOUT)])
        assert told.status_code == 200
        batches = (await world.api.get(f"/v1/runs/{run_id}/batches")).json()["items"]
        assert (batches[-1]["queue"], batches[-1]["isolation"], batches[-1]["state"]) == (queue, "pod", "waiting")
        async with world.resources.database.read() as session:
            row = await session.get(Batch, UUID(batches[-1]["id"]))
        assert row is not None
        assert row.memory_limit_bytes is None
    last = await world.claimed(batches[-1])
    assert limits[0] < limits[1] == 6 * GIB
    assert last["memory_limit_bytes"] == 32 * GIB
    assert (await world.report(last, [failure(last["trials"][0], FailureCode.MEMOUT)])).status_code == 200
    assert (await world.run(run_id))["state"] == "failed"


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithms": THREE[2:]},
        {"queue": "high-memory"},
        {"protocol": POD},
    ],
    ids=["all on spark", "all on high-memory", "all isolated"],
)
async def test_a_scheduled_flow_run_on_default_leaves_alone_what_is_not_for_its_worker(
    world: World, changes: dict[str, Any]
) -> None:
    await world.dataset()
    experiment = await world.experiment(schedule={"intervalSeconds": 3600}, **changes)
    status, problem = await scheduled(world, experiment)
    assert (status, problem["code"]) == (409, "state_conflict")
    run_id = (await world.api.get("/v1/experiments/first")).json()["latest_run_id"]
    batches = (await world.api.get(f"/v1/runs/{run_id}/batches")).json()["items"]
    assert batches
    assert {batch["state"] for batch in batches} == {"waiting"}
    assert {batch["id"] for batch in batches} <= await wished_batches(world), "the dispatcher submits them"


async def test_a_scheduled_flow_run_takes_the_first_batch_of_default_though_another_stands_before_it(
    world: World,
) -> None:
    await world.dataset()
    algorithms = [{"algorithm": "spark-dbscan"}, {"algorithm": "sklearn-dbscan"}]
    status, assignment = await scheduled(
        world, await world.experiment(schedule={"intervalSeconds": 3600}, algorithms=algorithms)
    )
    assert (status, assignment["queue"]) == (200, QueueName.DEFAULT)
    assert [trial["label"] for trial in assignment["trials"]] == ["sklearn-dbscan"]
    async with world.resources.database.read() as session:
        queues = (await session.scalars(select(Trial.queue).order_by(Trial.position))).all()
    assert list(queues) == [QueueName.SPARK, QueueName.DEFAULT]


async def test_an_isolated_trial_too_large_for_default_gets_its_pod_from_high_memory(world: World) -> None:
    await world.dataset(ready=prepared(n=2_000_000, neighbours=500.0))
    _, batches = await world.planned(parameters={"eps": 1.0, "min_samples": 5}, algorithms=THREE[:1], protocol=POD)
    assert [(batch["queue"], batch["isolation"]) for batch in batches] == [("high-memory", "pod")]

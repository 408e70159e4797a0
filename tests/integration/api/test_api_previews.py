"""Previews, urgent runs and pins, as clients ask for them."""

from __future__ import annotations

from typing import Any

import pytest
from api_builders import World, dataset_spec, experiment_spec, success

WAITS = {"preview": {"rows": 100}}
anywhere = pytest.mark.parametrize("backend", ["sqlite+folder"], indirect=True)


async def previewed(world: World, name: str = "first", **preview: Any) -> tuple[str, list[dict[str, Any]]]:
    """A planned preview of the experiment."""
    answer = await world.api.post(f"/v1/experiments/{name}/runs", json={"preview": preview})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"], await world.plan(answer.json()["id"])


async def measured(world: World, batches: list[dict[str, Any]]) -> None:
    for batch in batches:
        assignment = await world.claimed(batch)
        outcomes = [success(assignment, trial) for trial in assignment["trials"]]
        assert (await world.report(assignment, outcomes)).status_code == 200


async def test_a_preview_measures_few_rows_in_one_round_on_priority_and_says_what_it_is(world: World) -> None:
    await world.dataset()
    await world.experiment(sampleSizes=[50, "all"], protocol={"rounds": 9}, queue="default")
    run_id, batches = await previewed(world, rows=100)
    run = await world.run(run_id)
    assert (run["trigger"], run["urgent"]) == ("preview", False)
    assert run["remarks"] == ["A preview of at most 100 rows in one round: not a measurement."]
    assert {batch["queue"] for batch in batches} == {"priority"}
    assert {trial["sample_size"] for trial in await world.trials(run_id)} == {50, 100}
    assignment = await world.claimed(batches[0])
    assert (assignment["protocol"]["rounds"], assignment["protocol"]["warmUp"]) == (1, 0)


async def test_a_preview_is_neither_reused_nor_reuses_and_is_nobodys_latest_result(world: World) -> None:
    await world.dataset()
    whole = await world.finished(sampleSizes=[100], protocol={"rounds": 1, "warmUp": 0})
    preview, batches = await previewed(world, rows=100)
    await measured(world, batches)
    assert (await world.run(preview))["reused_trials"] == 0
    assert (await world.api.get("/v1/experiments/first")).json()["latest_run_id"] == whole
    again = await world.experiment("second", sampleSizes=[100], protocol={"rounds": 1, "warmUp": 0})
    [batch] = await world.plan(again["latest_run_id"])
    await world.claimed(batch)
    originals = {trial["reused_from"] for trial in await world.trials(again["latest_run_id"])}
    assert originals == {trial["id"] for trial in await world.trials(whole)}


async def test_figures_of_a_preview_are_marked_wherever_they_are_seen(world: World) -> None:
    await world.dataset()
    await world.experiment()
    preview, batches = await previewed(world)
    await measured(world, batches)
    comparison = (await world.api.get(f"/v1/runs/{preview}/comparison")).json()
    assert comparison["trigger"] == "preview"
    assert comparison["remarks"] == ["A preview of at most 1,000 rows in one round: not a measurement."]
    assert comparison["rounds"] == 1


@anywhere
async def test_a_preview_of_a_dataset_that_is_not_ready_waits_for_it_and_the_plan_says_so(world: World) -> None:
    created = await world.api.post("/v1/datasets", json=dataset_spec())
    await world.experiment()
    plan = await world.api.post("/v1/experiments/first/runs?dry_run=true", json=WAITS)
    assert plan.status_code == 200
    assert plan.json()["waiting_for_datasets"] == ["blobs"]
    assert plan.json()["remarks"] == [
        "A preview of at most 100 rows in one round: not a measurement.",
        "It waits for blobs: datasets are prepared on the queue default.",
    ]
    started = await world.api.post("/v1/experiments/first/runs", json=WAITS)
    assert started.json()["state"] == "planning"
    assert created.status_code == 202


@anywhere
async def test_the_plan_of_a_preview_names_the_queue_and_writes_nothing(world: World) -> None:
    await world.dataset()
    await world.experiment()
    before = await world.rows()
    plan = (await world.api.post("/v1/experiments/first/runs?dry_run=true", json=WAITS)).json()
    assert plan["queues"] == {"priority": 1}
    assert all(trial["routing"].startswith("a preview runs on priority") for trial in plan["trials"])
    assert await world.rows() == before


@anywhere
@pytest.mark.parametrize(
    ("changes", "body", "code", "pointer"),
    [
        ({}, {"preview": {}, "urgent": True}, "urgent_conflict", "/urgent"),
        ({"queue": "high-memory"}, {"urgent": True}, "urgent_conflict", "/urgent"),
        ({"parameters": {"eps": [n / 100 for n in range(1, 60)]}}, {"preview": {}}, "grid_too_large", "/preview"),
        ({}, {"preview": {"rows": 0}}, "invalid_request", "/preview/rows"),
        ({}, {"preview": {"rows": 10_001}}, "invalid_request", "/preview/rows"),
        ({}, {"preview": 5}, "invalid_request", "/preview"),
        ({}, {"rows": 5}, "invalid_request", "/rows"),
    ],
)
async def test_what_cannot_be_together_is_refused_with_its_place(
    world: World, changes: dict[str, Any], body: dict[str, Any], code: str, pointer: str
) -> None:
    await world.dataset()
    await world.experiment(**changes)
    before = await world.rows()
    answer = await world.api.post("/v1/experiments/first/runs", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, code), problem
    assert pointer in [error["pointer"] for error in problem["errors"]]
    assert problem["hint"]
    assert await world.rows() == before


class TestWithoutThePriorityQueue:
    @pytest.fixture
    def settings_values(self) -> dict[str, Any]:
        return {"queues": {"default": {"memory_bytes": 6 << 30, "threads": 2}}}

    @anywhere
    async def test_previews_are_refused_and_urgent_runs_go_as_usual(self, world: World) -> None:
        await world.dataset()
        await world.experiment()
        refused = await world.api.post("/v1/experiments/first/runs", json={"preview": {}})
        assert (refused.status_code, refused.json()["code"]) == (422, "preview_not_available")
        urgent = await world.api.post("/v1/experiments/first/runs", json={"urgent": True})
        [batch] = await world.plan(urgent.json()["id"])
        assert batch["queue"] == "default"


async def test_an_urgent_run_is_measured_on_priority_and_may_be_reused(world: World) -> None:
    await world.dataset()
    answer = await world.api.post("/v1/experiments?urgent=true", json=experiment_spec())
    run_id = answer.json()["latest_run_id"]
    [batch] = await world.plan(run_id)
    assert batch["queue"] == "priority"
    run = await world.run(run_id)
    assert (run["urgent"], run["trigger"], run["remarks"]) == (True, "manual", [])
    assert all(trial["routing"].startswith("urgent; estimated") for trial in await world.trials(run_id))
    await measured(world, [batch])
    again = await world.api.post("/v1/experiments/first/runs", json={"urgent": True})
    await world.claimed((await world.plan(again.json()["id"]))[0])
    assert (await world.run(again.json()["id"]))["reused_trials"] == 2


@anywhere
async def test_an_experiment_without_a_run_cannot_be_urgent(world: World) -> None:
    await world.dataset()
    answer = await world.api.post("/v1/experiments?urgent=true&start=false", json=experiment_spec())
    assert (answer.status_code, answer.json()["code"]) == (422, "urgent_conflict")
    assert "experiment" not in await world.rows()


async def test_the_same_key_with_and_without_a_preview_are_two_requests(world: World) -> None:
    await world.dataset()
    await world.experiment()
    key = {"Idempotency-Key": "k"}
    first = await world.api.post("/v1/experiments/first/runs", json=WAITS, headers=key)
    again = await world.api.post("/v1/experiments/first/runs", json=WAITS, headers=key)
    assert first.content == again.content
    other = await world.api.post("/v1/experiments/first/runs", headers=key)
    assert other.json()["code"] == "idempotency_key_reused"


async def test_pinning_twice_is_pinning_once(world: World) -> None:
    await world.dataset()
    run_id, _ = await world.planned()
    for verb, pinned in (("pin", True), ("pin", True), ("unpin", False), ("unpin", False)):
        answer = await world.api.post(f"/v1/runs/{run_id}/{verb}")
        assert (answer.status_code, answer.json()["pinned"]) == (200, pinned)
        assert (await world.run(run_id))["pinned"] is pinned
    events = (await world.api.get(f"/v1/runs/{run_id}/events")).json()["items"]
    assert [event["kind"] for event in events][:2] == ["run_unpinned", "run_pinned"]
    missing = await world.api.post(f"/v1/runs/{'0' * 32}/pin")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")

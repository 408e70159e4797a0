"""Retention on both back ends: what grows old goes, rows first and objects after them, and nothing that is needed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from api_builders import POINTS_SHA256, World, dataset_spec, success
from sqlalchemy import select, update

from app.clock import now
from app.contracts.objects import labels_key, manifest_key, round_key, upload_key, version_id
from app.db.models import Event, IdempotencyRecord, Run, Upload, Work, WorkKind
from app.dispatcher import objects, retention
from app.dispatcher.context import Context

OLD = timedelta(days=1_000)


async def stored(world: World, run_id: str) -> tuple[list[str], list[str]]:
    """What a worker leaves of the run: keys of batches, keys of manifests. Written if they are not there."""
    run = UUID(run_id)
    manifests, artifacts = [], []
    for trial in await world.trials(run_id):
        batch, trial_id = UUID(trial["batch_id"]), UUID(trial["id"])
        artifacts += [round_key(run, batch, 0), labels_key(run, batch, 1, trial_id)]
        manifests.append(manifest_key(run, trial_id))
    for key in {*artifacts, *manifests}:
        await asyncio.to_thread(world.resources.objects.put, key, b"{}")
    return sorted(set(artifacts)), manifests


def left(world: World, keys: list[str]) -> list[str]:
    return [key for key in keys if world.resources.objects.exists(key)]


async def grow_old(world: World, *run_ids: str, by: timedelta = OLD) -> None:
    async with world.resources.database.write() as session:
        ids = [UUID(run_id) for run_id in run_ids]
        moment = now() - by
        await session.execute(update(Run).where(Run.id.in_(ids)).values(finished_at=moment))
        await session.execute(update(Event).where(Event.run_id.in_(ids)).values(at=moment))


async def known(world: World, run_id: str) -> bool:
    return (await world.api.get(f"/v1/runs/{run_id}")).status_code == 200


async def wished(world: World, kind: WorkKind) -> set[UUID]:
    async with world.resources.database.read() as session:
        return set(await session.scalars(select(Work.entity_id).where(Work.kind == kind)))


async def newer_result(world: World) -> str:
    """Of the same experiment, so that those before are not its last."""
    started = await world.api.post("/v1/experiments/first/runs")
    run_id: str = started.json()["id"]
    await finish(world, run_id)
    return run_id


async def finish(world: World, run_id: str) -> None:
    for batch in await world.plan(run_id):
        assignment = await world.claimed(batch)
        if assignment["trials"]:
            outcomes = [success(assignment, trial) for trial in assignment["trials"]]
            assert (await world.report(assignment, outcomes)).status_code == 200


NEVER = {"rounds": 2, "reuse": "never"}


async def test_an_old_run_goes_with_its_rows_and_then_with_its_objects_and_others_stay(
    world: World, context: Context
) -> None:
    await world.dataset()
    old = await world.finished(protocol=NEVER)
    newer = await newer_result(world)
    gone, kept = await stored(world, old), await stored(world, newer)
    await grow_old(world, old)
    assert await retention.runs(context) == 1
    assert not await known(world, old)
    assert await wished(world, WorkKind.RUN_OBJECTS) == {UUID(old)}
    assert left(world, gone[0]), "a worker that was cut off may still write, so its objects go a day later"
    await objects.of_run(context, UUID(old))
    assert left(world, gone[0] + gone[1]) == []
    assert left(world, kept[0] + kept[1]) == kept[0] + kept[1]
    assert await retention.runs(context) == 0
    await objects.of_run(context, UUID(old))


async def test_a_pinned_run_an_unfinished_one_and_the_last_result_stay_however_old(
    world: World, context: Context
) -> None:
    await world.dataset()
    pinned = await world.finished(protocol=NEVER)
    await world.api.post(f"/v1/runs/{pinned}/pin")
    last = await newer_result(world)
    going = (await world.api.post("/v1/experiments/first/runs")).json()["id"]
    keys = await stored(world, pinned)
    await grow_old(world, pinned, last)
    await retention.runs(context)
    assert [await known(world, run_id) for run_id in (pinned, last, going)] == [True] * 3
    await objects.of_run(context, UUID(pinned))
    assert left(world, keys[0] + keys[1]) == keys[0] + keys[1]


async def test_artifacts_go_before_the_run_and_its_manifests_and_everybody_is_told(
    world: World, context: Context
) -> None:
    await world.dataset()
    run_id = await world.finished()
    artifacts, manifests = await stored(world, run_id)
    await grow_old(world, run_id, by=timedelta(days=100))
    assert await retention.runs(context) == 1
    view = await world.run(run_id)
    assert view["artifacts_deleted_at"] is not None
    assert view["remarks"] == [f"Labels and rounds were deleted on {now():%Y-%m-%d}; figures and manifests stay."]
    await objects.of_run(context, UUID(run_id))
    assert left(world, artifacts) == []
    assert left(world, manifests) == manifests
    comparison = (await world.api.get(f"/v1/runs/{run_id}/comparison")).json()
    assert comparison["groups"][0]["entries"][0]["timing"]["samples"]
    assert comparison["remarks"] == view["remarks"]
    again = (await world.api.post("/v1/experiments/first/runs")).json()["id"]
    assignment = await world.claimed((await world.plan(again))[0])
    assert len(assignment["trials"]) == 2, "what has no labels any more is measured again, not reused"


async def test_a_run_whose_results_are_reused_stays_as_long_as_the_copies(world: World, context: Context) -> None:
    await world.dataset()
    original = await world.finished()
    artifacts, manifests = await stored(world, original)
    copy = (await world.experiment("second"))["latest_run_id"]
    await finish(world, copy)
    assert (await world.run(copy))["reused_trials"] == 2
    await newer_result(world)
    await grow_old(world, original)
    assert await retention.runs(context) == 0
    assert left(world, artifacts + manifests) == artifacts + manifests
    # Its owner deletes it: the rows go, the objects wait for the copies.
    assert (await world.api.delete("/v1/experiments/first")).status_code == 204
    assert await objects.of_run(context, UUID(original)) is not None
    assert left(world, artifacts + manifests) == artifacts + manifests
    assert (await world.api.delete("/v1/experiments/second")).status_code == 204
    assert await objects.of_run(context, UUID(original)) is None
    assert left(world, artifacts + manifests) == []


async def test_labels_stay_while_a_copy_has_them(world: World, context: Context) -> None:
    await world.dataset()
    original = await world.finished()
    copy = (await world.experiment("second"))["latest_run_id"]
    await finish(world, copy)
    await grow_old(world, original, by=timedelta(days=100))
    assert await retention.runs(context) == 0
    await grow_old(world, copy, by=timedelta(days=100))
    assert await retention.runs(context) == 2, "the copy first, then what it was made of"


class TestWithACount:
    @pytest.fixture
    def settings_values(self) -> dict[str, Any]:
        return {"retention": {"runs_per_experiment": 2, "page": 1}}

    async def test_the_newest_runs_of_each_experiment_stay_and_previews_do_not_count(
        self, world: World, context: Context
    ) -> None:
        await world.dataset()
        first = await world.finished(protocol=NEVER)
        runs = [first] + [await newer_result(world) for _ in range(4)]
        other = await world.finished("second", protocol=NEVER)
        await world.api.post(f"/v1/runs/{runs[1]}/pin")
        preview = (await world.api.post("/v1/experiments/first/runs", json={"preview": {}})).json()["id"]
        await finish(world, preview)
        assert await retention.runs(context) == 2
        assert [await known(world, run_id) for run_id in runs] == [False, True, False, True, True]
        assert [await known(world, run_id) for run_id in (other, preview)] == [True, True]
        await grow_old(world, preview, by=timedelta(days=8))
        assert await retention.runs(context) == 1
        assert not await known(world, preview)


async def test_dispatchers_that_age_the_same_runs_at_once_delete_each_once(world: World, context: Context) -> None:
    await world.dataset()
    runs = [await world.finished(protocol=NEVER)]
    runs += [await newer_result(world) for _ in range(3)]
    await grow_old(world, *runs)
    counted = await asyncio.gather(*(retention.runs(context) for _ in range(4)))
    # The last result loses its artifacts instead.
    assert sum(counted) == len(runs)
    assert [await known(world, run_id) for run_id in runs] == [False] * 3 + [True]


async def test_a_result_is_either_reused_and_kept_or_gone_and_measured_again(world: World, context: Context) -> None:
    await world.dataset()
    original = await world.finished()
    failed = (await world.api.post("/v1/experiments/first/runs", json={"urgent": True})).json()["id"]
    await finish(world, failed)
    await grow_old(world, original)
    copy = (await world.experiment("second"))["latest_run_id"]
    [batch] = await world.plan(copy)
    assignment, _ = await asyncio.gather(world.claimed(batch), retention.runs(context))
    reused = (await world.run(copy))["reused_trials"]
    assert reused == 2 - len(assignment["trials"])
    assert await known(world, original) is (reused > 0)


async def test_objects_of_a_deleted_experiment_go(world: World, context: Context) -> None:
    await world.dataset()
    runs = [await world.finished(protocol=NEVER), await newer_result(world)]
    keys = [key for run_id in runs for part in await stored(world, run_id) for key in part]
    assert (await world.api.delete("/v1/experiments/first")).status_code == 204
    assert await wished(world, WorkKind.RUN_OBJECTS) == {UUID(run_id) for run_id in runs}
    for run_id in runs:
        await objects.of_run(context, UUID(run_id))
    assert left(world, keys) == []


async def test_a_dataset_version_goes_with_the_last_dataset_that_has_it(world: World, context: Context) -> None:
    key = f"datasets/{POINTS_SHA256}/points.npy"
    await asyncio.to_thread(world.resources.objects.put, key, b"points")
    await world.dataset("one")
    await world.dataset("two")
    version = version_id(POINTS_SHA256)
    assert (await world.api.delete("/v1/datasets/one")).status_code == 204
    assert await wished(world, WorkKind.DATASET_OBJECTS) == {version}
    assert await objects.of_dataset(context, version) is None
    assert left(world, [key]) == [key], "the other dataset has the same version"
    assert (await world.api.delete("/v1/datasets/two")).status_code == 204
    third = (await world.api.post("/v1/datasets", json=dataset_spec("three"))).json()["id"]
    claim = {"dataset_id": third, "attempt": 1, "flow_run_id": "f", "worker": "w"}
    assert (await world.internal.post("/internal/v1/datasets:claim", json=claim)).status_code == 200
    assert await objects.of_dataset(context, version) is not None, "it may be about to adopt the version"
    assert left(world, [key]) == [key]
    await world.report_dataset(third, {"failure": {"code": "invalid_data", "message": "none"}})
    assert await objects.of_dataset(context, version) is None
    assert left(world, [key]) == []


async def test_an_upload_goes_unless_a_dataset_is_made_of_it(world: World, context: Context) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    used, unused = [
        (await world.api.post("/v1/uploads", content=b"x,y\n1,2\n", headers=headers)).json()["id"] for _ in range(2)
    ]
    broken = uuid4()  # its object is there, its row never came
    await asyncio.to_thread(world.resources.objects.put, upload_key(broken), b"x")
    assert (await world.api.post("/v1/datasets", json=dataset_spec("mine", source={"upload": used}))).status_code == 202
    assert await wished(world, WorkKind.UPLOAD) == {UUID(used), UUID(unused)}
    for upload in (UUID(used), UUID(unused), broken):
        await objects.of_upload(context, upload)
    keys = [upload_key(upload) for upload in (UUID(used), UUID(unused), broken)]
    assert left(world, keys) == keys[:1]
    async with world.resources.database.read() as session:
        assert [str(row.id) for row in await session.scalars(select(Upload))] == [used]
    assert (await world.api.delete("/v1/datasets/mine")).status_code == 204
    await objects.of_upload(context, UUID(used))
    assert left(world, keys) == []


async def test_events_and_stored_answers_go_by_age_and_those_of_pinned_runs_stay(
    world: World, context: Context
) -> None:
    await world.dataset()
    old = await world.finished(protocol=NEVER)
    pinned = await newer_result(world)
    await world.api.post(f"/v1/runs/{pinned}/pin")
    young = await newer_result(world)
    await world.api.post("/v1/experiments/first/runs", headers={"Idempotency-Key": "old"})
    await world.api.post("/v1/experiments/first/runs", headers={"Idempotency-Key": "young"})
    await grow_old(world, old, pinned, by=timedelta(days=200))
    async with world.resources.database.write() as session:
        of_old = update(IdempotencyRecord).where(IdempotencyRecord.key == "old")
        await session.execute(of_old.values(created_at=now() - timedelta(days=8)))
    assert await retention.events(context) > 3
    assert await retention.requests(context) == 1
    counts = [len((await world.api.get(f"/v1/runs/{run}/events")).json()["items"]) for run in (old, pinned, young)]
    assert counts[0] == 0
    assert min(counts[1:]) > 3


class TestSwitchedOff:
    @pytest.fixture
    def settings_values(self) -> dict[str, Any]:
        return {"retention": {"enabled": False}}

    @pytest.mark.parametrize("backend", ["sqlite+folder"], indirect=True)
    async def test_nothing_goes_by_itself(self, world: World, context: Context) -> None:
        await world.dataset()
        old = await world.finished(protocol=NEVER)
        await newer_result(world)
        await grow_old(world, old)
        turns = (retention.runs, retention.events, retention.requests, retention.flow_runs, retention.applications)
        assert [await turn(context) for turn in turns] == [0] * 5
        assert await known(world, old)

"""The life of a batch as flows see it: claim, heartbeat, report, release; fenced by its attempt."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from api_builders import ENVIRONMENT, World, failure, prepared, success
from pydantic import SecretStr
from sqlalchemy import select

from app.clock import now
from app.contracts.failures import FailureCode
from app.contracts.measurement import Outcome
from app.contracts.objects import manifest_key
from app.contracts.states import BatchState, RunState, TrialState
from app.contracts.store import StoreConfig
from app.db.models import Batch, Run, Trial, Work, WorkKind
from app.gateways.objects import open_store
from app.runs import transitions
from tests.part import free_ports

# What is decided before any row is touched is the same on every database.
anywhere = pytest.mark.parametrize("backend", ["sqlite+folder"], indirect=True)


async def batch_row(world: World, batch_id: str) -> Batch:
    async with world.resources.database.read() as session:
        row = await session.get(Batch, UUID(batch_id))
    assert row is not None
    return row


async def wished(world: World, kind: WorkKind) -> set[str]:
    async with world.resources.database.read() as session:
        return {str(one) for one in await session.scalars(select(Work.entity_id).where(Work.kind == kind))}


async def test_a_claimed_batch_is_running_with_its_run_and_trials(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    assert (await world.run(run_id))["state"] == "queued"
    assignment = await world.claimed(batches[0], "flow-7")
    assert [trial["label"] for trial in assignment["trials"]] == ["sklearn-dbscan", "sklearn-dbscan-parallel"]
    assert assignment["trials"][0]["dataset"]["points_key"].endswith("points.npy")
    assert (assignment["memory_limit_is_users"], assignment["memory_limit_bytes"]) == (False, 6 << 30)
    assert (await world.run(run_id))["state"] == "running"
    assert {trial["state"] for trial in await world.trials(run_id)} == {"running"}
    row = await batch_row(world, batches[0]["id"])
    assert row.lease_until is not None
    assert row.lease_until > now() + timedelta(seconds=70)
    assert assignment["token"] not in (row.token_sha256 or "")


async def test_only_the_same_flow_run_may_claim_again(world: World) -> None:
    await world.dataset()
    _, batches = await world.planned()
    first = await world.claimed(batches[0], "flow-1")
    again = await world.claimed(batches[0], "flow-1")
    assert len(again["trials"]) == len(first["trials"])
    stranger = await world.claim(batches[0], "flow-2")
    assert (stranger.status_code, stranger.json()["code"]) == (409, "stale_attempt")
    old = await world.claim(batches[0], "flow-1", attempt=2)
    assert old.json()["code"] == "stale_attempt"
    assert (await world.say("heartbeat", first)).status_code == 403, "the first token ended with the second claim"


async def test_ten_claims_at_once_have_one_winner(world: World) -> None:
    await world.dataset()
    _, batches = await world.planned()
    answers = await asyncio.gather(*(world.claim(batches[0], f"flow-{n}") for n in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9


async def test_a_heartbeat_extends_the_lease_shows_progress_and_hears_a_cancel(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    before = (await batch_row(world, batches[0]["id"])).lease_until
    beat = await world.say("heartbeat", assignment, progress={"round": 1, "samples_done": 3, "samples_total": 6})
    assert beat.json() == {"cancel": False, "fenced": False}
    after = await batch_row(world, batches[0]["id"])
    assert before is not None
    assert after.lease_until is not None
    assert after.lease_until > before
    shown = (await world.api.get(f"/v1/runs/{run_id}/batches")).json()["items"][0]
    assert shown["progress"]["samples_done"] == 3
    assert (await world.api.post(f"/v1/runs/{run_id}/cancel")).status_code == 202
    assert (await world.say("heartbeat", assignment)).json() == {"cancel": True, "fenced": False}


@anywhere
async def test_a_token_opens_its_own_batch_only(world: World) -> None:
    await world.dataset()
    _, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    forged = {**assignment, "token": "x" * 43}
    for verb, body in (("heartbeat", {}), ("release", {"reason": "drains"})):
        answer = await world.say(verb, forged, **body)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await world.report(forged, [])).status_code == 403
    without = await world.internal.post(f"/internal/v1/batches/{assignment['batch_id']}:heartbeat", json={"attempt": 1})
    assert without.status_code == 422


async def test_a_reported_batch_ends_its_trials_and_the_run_and_wants_them_in_mlflow(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    first, second = assignment["trials"]
    answer = await world.report(assignment, [success(assignment, first), success(assignment, second, 0.25)])
    assert answer.status_code == 200
    run = await world.run(run_id)
    assert (run["state"], run["trials"]) == ("succeeded", {"succeeded": 2})
    assert run["finished_at"] is not None
    trials = await world.trials(run_id)
    assert [trial["fit_seconds_median"] for trial in trials] == [0.5, 0.25]
    assert trials[0]["manifest_key"] == manifest_key(UUID(run_id), UUID(trials[0]["id"]))
    assert trials[0]["quality"]["clusters"] == 3
    assert await wished(world, WorkKind.TRIAL) == {trial["id"] for trial in trials}
    assert (await batch_row(world, batches[0]["id"])).state is BatchState.FINISHED


async def test_reporting_twice_is_reporting_once(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    outcomes = [success(assignment, trial) for trial in assignment["trials"]]
    assert (await world.report(assignment, outcomes)).status_code == 200
    before = await world.rows()
    again = await world.report(assignment, [failure(trial, FailureCode.CRASH) for trial in assignment["trials"]])
    assert again.status_code == 200
    assert await world.rows() == before
    assert (await world.run(run_id))["state"] == "succeeded"


@anywhere
@pytest.mark.parametrize(
    ("codes", "states", "run_state"),
    [
        ([None, FailureCode.CRASH], ["succeeded", "failed"], "partial"),
        ([FailureCode.TIMEOUT, FailureCode.CRASH], ["failed", "failed"], "failed"),
        ([None, FailureCode.NOT_AVAILABLE], ["succeeded", "skipped"], "succeeded"),
        ([None, FailureCode.NOT_SUPPORTED], ["succeeded", "skipped"], "succeeded"),
    ],
)
async def test_a_failure_is_a_result_row_with_its_reason(
    world: World, codes: list[FailureCode | None], states: list[str], run_state: str
) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    outcomes = [
        success(assignment, trial) if code is None else failure(trial, code)
        for trial, code in zip(assignment["trials"], codes, strict=True)
    ]
    await world.report(assignment, outcomes)
    trials = await world.trials(run_id)
    assert [trial["state"] for trial in trials] == states
    assert [trial["failure"] and trial["failure"]["code"] for trial in trials] == codes
    assert (await world.run(run_id))["state"] == run_state


@anywhere
async def test_a_success_without_this_trials_manifest_is_a_failure(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    first, second = assignment["trials"]
    foreign = success(assignment, second).model_copy(update={"trial_id": UUID(first["trial_id"])})
    await world.report(assignment, [foreign])
    trials = await world.trials(run_id)
    assert [trial["state"] for trial in trials] == ["failed", "failed"]
    assert [trial["failure"]["code"] for trial in trials] == ["internal", "internal"]


@anywhere
async def test_a_report_that_names_its_manifests_has_them_read_from_the_store(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    outcomes = []
    for trial in assignment["trials"]:
        full = success(assignment, trial)
        assert full.manifest is not None
        key = manifest_key(full.manifest.run_id, full.trial_id)
        world.resources.objects.put_once(key, full.manifest.model_dump_json().encode())
        outcomes.append(full.model_copy(update={"manifest": None, "manifest_key": key}))
    assert (await world.report(assignment, outcomes)).status_code == 200
    assert (await world.run(run_id))["state"] == "succeeded"


async def named(world: World) -> tuple[str, dict[str, Any], list[Outcome]]:
    """A run, its claimed batch, and a report that only names the manifests it speaks of."""
    await world.dataset()
    run_id, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    outcomes = []
    for trial in assignment["trials"]:
        key = manifest_key(UUID(run_id), UUID(trial["trial_id"]))
        outcomes.append(success(assignment, trial).model_copy(update={"manifest": None, "manifest_key": key}))
    return run_id, assignment, outcomes


@anywhere
async def test_while_manifests_cannot_be_read_nothing_is_said_of_any_trial(world: World) -> None:
    run_id, assignment, outcomes = await named(world)
    [port] = free_ports(1)
    away = StoreConfig(kind="s3", endpoint=f"http://127.0.0.1:{port}", access_key="a", secret_key=SecretStr("b"))
    async with World.over(replace(world.resources, objects=open_store(away))) as without_store:
        answer = await without_store.report(assignment, outcomes)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert {trial["state"] for trial in await world.trials(run_id)} == {"running"}


@anywhere
async def test_a_manifest_that_is_missing_or_damaged_makes_its_trial_fail(world: World) -> None:
    run_id, assignment, outcomes = await named(world)
    damaged = outcomes[1].manifest_key
    assert damaged is not None
    world.resources.objects.put(damaged, b"{")
    assert (await world.report(assignment, outcomes)).status_code == 200
    failures = [trial["failure"] for trial in await world.trials(run_id)]
    assert [failure["code"] for failure in failures] == ["artifact_corrupt"] * 2
    assert ["not in the store" in failures[0]["message"], "no manifest" in failures[1]["message"]] == [True, True]


async def test_what_exceeds_memory_goes_once_to_the_larger_queue(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    first, second = assignment["trials"]
    await world.report(assignment, [success(assignment, first), failure(second, FailureCode.MEMOUT)])
    listed = (await world.api.get(f"/v1/runs/{run_id}/batches")).json()["items"]
    assert [(one["queue"], one["state"]) for one in listed] == [("default", "finished"), ("high-memory", "waiting")]
    assert listed[1]["trial_ids"] == [second["trial_id"]]
    assert (await world.run(run_id))["state"] == "running"
    assert listed[1]["id"] in await wished(world, WorkKind.BATCH)
    larger = await world.claimed(listed[1])
    await world.report(larger, [failure(larger["trials"][0], FailureCode.MEMOUT)])
    assert (await world.run(run_id))["state"] == "partial"


@anywhere
async def test_a_memory_limit_of_the_user_is_final(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned(protocol={"limits": {"memory": "1GiB"}})
    assignment = await world.claimed(batches[0])
    assert (assignment["memory_limit_bytes"], assignment["memory_limit_is_users"]) == (1 << 30, True)
    await world.report(assignment, [failure(trial, FailureCode.MEMOUT) for trial in assignment["trials"]])
    assert (await world.run(run_id))["state"] == "failed"


async def test_a_released_batch_waits_for_its_next_attempt_and_the_old_one_is_fenced(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    old = await world.claimed(batches[0])
    assert (await world.say("release", old, reason="the pod drains")).status_code == 204
    row = await batch_row(world, batches[0]["id"])
    assert (row.state, row.attempt, row.token_sha256) == (BatchState.WAITING, 2, None)
    assert {trial["state"] for trial in await world.trials(run_id)} == {"pending"}
    assert (await world.run(run_id))["state"] == "queued"
    assert (await world.say("heartbeat", old)).json() == {"cancel": False, "fenced": True}
    late = await world.report(old, [success(old, trial) for trial in old["trials"]])
    assert (late.status_code, late.json()["code"]) == (409, "stale_attempt")
    assert (await world.say("release", old, reason="again")).status_code == 409
    assert {trial["state"] for trial in await world.trials(run_id)} == {"pending"}
    new = await world.claimed({**batches[0], "attempt": 2})
    assert new["attempt"] == 2


async def test_a_lost_batch_is_tried_again_until_its_attempts_are_used_up(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    await world.loses_all_attempts(batches[0], "no heartbeat", code=FailureCode.LOST)
    run = await world.run(run_id)
    assert (run["state"], run["trials"]) == ("failed", {"failed": 2})
    assert {trial["failure"]["code"] for trial in await world.trials(run_id)} == {"lost"}
    kinds = [event["kind"] for event in (await world.api.get(f"/v1/runs/{run_id}/events?limit=100")).json()["items"]]
    assert (kinds.count("batch_lost"), kinds.count("batch_given_up")) == (4, 1)


@anywhere
async def test_released_attempts_do_not_count_as_lost(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    for attempt in range(1, 6):
        assignment = await world.claimed({**batches[0], "attempt": attempt})
        assert (await world.say("release", assignment, reason="scaled down")).status_code == 204
    await world.claimed({**batches[0], "attempt": 6})
    async with world.resources.database.write() as session:
        batch = await session.get(Batch, UUID(batches[0]["id"]))
        assert batch is not None
        await transitions.lose(session, batch, "no heartbeat", now())
    assert (await world.run(run_id))["state"] == "queued"


async def test_whoever_decided_on_an_outdated_row_writes_nothing(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    seen = await batch_row(world, batches[0]["id"])
    await world.say("heartbeat", assignment)
    with pytest.raises(transitions.Stale):
        async with world.resources.database.write() as session:
            await transitions.lose(session, seen, "no heartbeat", now())
    assert (await world.run(run_id))["state"] == "running"
    assert (await batch_row(world, batches[0]["id"])).attempt == 1


async def test_two_batches_that_finish_at_once_end_their_run(world: World) -> None:
    for name, sha256 in (("blobs", "ab" * 32), ("other", "ac" * 32)):
        await world.dataset(name, ready=None if name == "blobs" else _other(sha256))
    run_id, batches = await world.planned(datasets=["blobs", "other"], queue=None, protocol={"reuse": "never"})
    async with world.resources.database.write() as session:
        # Packed into one batch; measured apart, as two queues would.
        first = await session.get(Batch, UUID(batches[0]["id"]))
        assert first is not None
        extra = Batch(
            id=uuid4(), run_id=first.run_id, position=99, queue=first.queue, state=BatchState.WAITING,
            estimated_seconds=1.0, order_seed=1,
        )  # fmt: skip
        session.add(extra)
        await session.flush()
        moved = await session.scalars(select(Trial).where(Trial.run_id == first.run_id, Trial.dataset == "other"))
        for trial in moved:
            trial.batch_id = extra.id
    assignments = [await world.claimed(batches[0]), await world.claimed({"id": str(extra.id), "attempt": 1})]
    await asyncio.gather(*(world.report(one, [success(one, trial) for trial in one["trials"]]) for one in assignments))
    run = await world.run(run_id)
    assert (run["state"], run["trials"]) == ("succeeded", {"succeeded": 4})


def _other(sha256: str) -> Any:

    return prepared().model_copy(update={"sha256": sha256})


async def test_a_cancelled_run_wants_its_batches_looked_at_and_refuses_claims(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    cancelled = await world.api.post(f"/v1/runs/{run_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["cancel_requested"]) == (202, True)
    assert batches[0]["id"] in await wished(world, WorkKind.BATCH)
    assert run_id in await wished(world, WorkKind.RUN)
    refused = await world.claim(batches[0])
    assert (refused.status_code, refused.json()["code"]) == (409, "state_conflict")
    async with world.resources.database.write() as session:
        batch = await session.get(Batch, UUID(batches[0]["id"]))
        assert batch is not None
        await transitions.cancel_batch(session, batch, now())
    run = await world.run(run_id)
    assert (run["state"], run["trials"]) == ("cancelled", {"cancelled": 2})
    again = await world.api.post(f"/v1/runs/{run_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "state_conflict")


async def test_cancelling_keeps_what_was_measured_by_then(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    await world.api.post(f"/v1/runs/{run_id}/cancel")
    assert (await world.api.post(f"/v1/runs/{run_id}/cancel")).status_code == 202, "asking twice is asking once"
    await world.report(assignment, [success(assignment, assignment["trials"][0])])
    run = await world.run(run_id)
    assert (run["state"], run["trials"]) == ("cancelled", {"succeeded": 1, "cancelled": 1})


async def test_a_run_that_is_still_planned_is_cancelled_without_trials(world: World) -> None:
    await world.dataset()
    run_id = (await world.experiment())["latest_run_id"]
    await world.api.post(f"/v1/runs/{run_id}/cancel")
    async with world.resources.database.write() as session:
        assert await transitions.roll_up(session, UUID(run_id), now()) is RunState.CANCELLED


async def test_finished_trials_are_reused_and_say_of_which_trial(world: World) -> None:
    await world.dataset()
    original = await world.trials(await world.finished())
    run_id, batches = await world.planned("second")
    assignment = await world.claimed(batches[0])
    assert assignment["trials"] == []
    run = await world.run(run_id)
    assert (run["state"], run["reused_trials"]) == ("succeeded", 2)
    copies = await world.trials(run_id)
    assert [copy["reused_from"] for copy in copies] == [one["id"] for one in original]
    assert [copy["fit_seconds_median"] for copy in copies] == [0.5, 0.5]
    assert {trial["id"] for trial in copies} <= await wished(world, WorkKind.TRIAL)
    third, batches = await world.planned("third")
    await world.claimed(batches[0])
    assert [one["reused_from"] for one in await world.trials(third)] == [one["id"] for one in original], "not of a copy"


@anywhere
@pytest.mark.parametrize(
    ("changes", "environment"),
    [
        ({"protocol": {"rounds": 2, "reuse": "never"}}, {}),
        ({"protocol": {"rounds": 3}}, {}),
        ({"protocol": {"rounds": 2, "seed": 1}}, {}),
        ({"parameters": {"eps": 0.31, "min_samples": 5}}, {}),
        ({"sampleSizes": [500]}, {}),
        ({}, {"cpu_model": "another cpu"}),
        ({}, {"cpu_quota": 4.0}),
        ({}, {"image": "corepoint 0.2.0"}),
    ],
)
async def test_what_could_change_a_time_prevents_reuse(
    world: World, changes: dict[str, Any], environment: dict[str, Any]
) -> None:
    await world.dataset()
    await world.finished()
    _, batches = await world.planned("second", **changes)
    elsewhere = ENVIRONMENT.model_copy(update=environment).model_dump(mode="json")
    assert len((await world.claim(batches[0], environment=elsewhere)).json()["trials"]) == 2


async def test_only_what_is_missing_is_measured_and_failures_are_never_reused(world: World) -> None:
    await world.dataset()
    _, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    first, second = assignment["trials"]
    await world.report(assignment, [success(assignment, first), failure(second, FailureCode.CRASH)])
    _, batches = await world.planned("second")
    left = await world.claimed(batches[0])
    assert [trial["label"] for trial in left["trials"]] == [second["label"]]


async def test_a_scheduled_flow_run_makes_its_run_once_and_takes_its_first_batch(world: World) -> None:
    await world.dataset()
    experiment = await world.experiment(schedule={"intervalSeconds": 3600})
    asked = {
        "experiment_id": experiment["id"],
        "scheduled_for": experiment["next_scheduled_for"],
        "flow_run_id": "scheduled-1",
        "worker": "w",
        "environment": ENVIRONMENT.model_dump(mode="json"),
    }
    first = await world.internal.post("/internal/v1/batches:claim", json=asked)
    assert (first.status_code, len(first.json()["trials"])) == (200, 2)
    run = await world.run(first.json()["run_id"])
    assert (run["trigger"], run["state"]) == ("scheduled", "running")
    assert run["scheduled_for"] == experiment["next_scheduled_for"]
    again = await world.internal.post("/internal/v1/batches:claim", json=asked)
    assert again.json()["batch_id"] == first.json()["batch_id"]
    other = await world.internal.post("/internal/v1/batches:claim", json={**asked, "flow_run_id": "scheduled-2"})
    assert (other.status_code, other.json()["code"]) == (409, "stale_attempt")
    assert (await world.rows())["run"] == 1


@anywhere
async def test_scheduled_runs_measure_anew(world: World) -> None:
    await world.dataset()
    await world.finished()
    experiment = await world.experiment("nightly", schedule={"intervalSeconds": 3600})
    asked = {
        "experiment_id": experiment["id"], "scheduled_for": experiment["next_scheduled_for"], "flow_run_id": "s",
        "worker": "w", "environment": ENVIRONMENT.model_dump(mode="json"),
    }  # fmt: skip
    claimed = await world.internal.post("/internal/v1/batches:claim", json=asked)
    assert len(claimed.json()["trials"]) == 2


async def test_a_scheduled_run_whose_dataset_is_not_ready_is_kept_for_later(world: World) -> None:
    await world.api.post("/v1/datasets", json={"name": "blobs", "source": {"builtin": "iris"}})
    experiment = await world.experiment(schedule={"intervalSeconds": 3600})
    asked = {
        "experiment_id": experiment["id"], "scheduled_for": experiment["next_scheduled_for"], "flow_run_id": "s",
        "worker": "w", "environment": ENVIRONMENT.model_dump(mode="json"),
    }  # fmt: skip
    answer = await world.internal.post("/internal/v1/batches:claim", json=asked)
    assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")
    async with world.resources.database.read() as session:
        run = await session.scalar(select(Run))
    assert run is not None
    assert run.state is RunState.PLANNING
    assert str(run.id) in await wished(world, WorkKind.RUN)


async def test_a_dataset_is_claimed_beaten_and_reported_by_one_attempt(world: World) -> None:
    created = (await world.api.post("/v1/datasets", json={"name": "blobs", "source": {"builtin": "iris"}})).json()
    waiting = (await world.experiment())["latest_run_id"]
    claim = {"dataset_id": created["id"], "attempt": 1, "flow_run_id": "f", "worker": "w"}
    claimed = (await world.internal.post("/internal/v1/datasets:claim", json=claim)).json()
    other = await world.internal.post("/internal/v1/datasets:claim", json={**claim, "flow_run_id": "g"})
    assert (other.status_code, other.json()["code"]) == (409, "stale_attempt")
    path = f"/internal/v1/datasets/{created['id']}"
    token = {"X-Corepoint-Batch-Token": claimed["token"]}
    beat = await world.internal.post(f"{path}:heartbeat", json={"attempt": 1}, headers=token)
    assert beat.json() == {"cancel": False, "fenced": False}
    forged = await world.internal.post(f"{path}:heartbeat", json={"attempt": 1}, headers={**token, **_FORGED})
    assert forged.status_code == 403
    fenced = await world.internal.post(f"{path}:heartbeat", json={"attempt": 2}, headers=token)
    assert fenced.json()["fenced"]
    failed = {"attempt": 1, "failure": {"code": "invalid_data", "message": "no numeric column"}}
    for _ in range(2):
        assert (await world.internal.post(f"{path}:report", json=failed, headers=token)).status_code == 200
    assert (await world.api.get("/v1/datasets/blobs")).json()["failure"]["message"] == "no numeric column"
    run = await world.run(waiting)
    assert (run["state"], run["failure"]["code"]) == ("failed", "dataset_failed")


_FORGED = {"X-Corepoint-Batch-Token": "forged"}


async def test_a_ready_dataset_wakes_the_runs_that_wait_for_it(world: World) -> None:
    created = (await world.api.post("/v1/datasets", json={"name": "blobs", "source": {"builtin": "iris"}})).json()
    run_id = (await world.experiment())["latest_run_id"]
    async with world.resources.database.write() as session:
        for row in await session.scalars(select(Work)):
            await session.delete(row)

    await world.report_dataset(created["id"], {"prepared": prepared().model_dump(mode="json")})
    assert await wished(world, WorkKind.RUN) == {run_id}
    assert [trial["state"] for trial in await world.trials(run_id)] == []
    await world.plan(run_id)
    assert {trial["state"] for trial in await world.trials(run_id)} == {TrialState.PENDING}

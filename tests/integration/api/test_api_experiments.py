"""Creating experiments: accepted means committed, the same key means the same answer, what is refused is not there."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from api_builders import World, experiment_spec, prepared
from sqlalchemy import select

from app.contracts.failures import FailureCode
from app.db.models import Experiment, Work, WorkKind


@pytest.fixture
def settings_values() -> dict[str, Any]:
    return {"notifications": {"allowed_hosts": ["hooks.example.org"]}}


# What depends on the request alone is the same on every database.
anywhere = pytest.mark.parametrize("backend", ["sqlite+folder"], indirect=True)


def code_and_pointers(answer: Any) -> tuple[int, str, list[str]]:
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, problem["code"], [error["pointer"] for error in problem["errors"]]


async def test_an_accepted_experiment_is_committed_with_its_run_and_the_wishes_for_both(world: World) -> None:
    await world.dataset()
    answer = await world.api.post("/v1/experiments", json=experiment_spec())
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == body["links"]["self"] == f"/v1/experiments/{body['id']}"
    run = await world.run(body["latest_run_id"])
    assert (run["state"], run["trigger"], run["experiment"]) == ("planning", "manual", "first")
    assert (await world.api.get(run["links"]["events"])).json()["items"][0]["kind"] == "run_created"
    async with world.resources.database.read() as session:
        wishes = (await session.execute(select(Work.kind, Work.entity_id))).all()
    assert {(WorkKind.EXPERIMENT, body["id"]), (WorkKind.RUN, run["id"])} <= {(k, str(e)) for k, e in wishes}
    assert world.resources.database.work_arrived.is_set()


@anywhere
async def test_the_specification_comes_back_as_it_was_sent(world: World) -> None:
    await world.dataset()
    spec = experiment_spec(sampleSizes=[100, "all"], description="two sizes", labels={"team": "a"})
    await world.api.post("/v1/experiments", json=spec)
    found = (await world.api.get("/v1/experiments/first")).json()["spec"]
    assert {key: found[key] for key in spec if key not in ("algorithms", "protocol")} == {
        key: spec[key] for key in spec if key not in ("algorithms", "protocol")
    }


async def test_the_same_key_and_body_get_the_same_bytes_and_do_nothing_twice(world: World) -> None:
    await world.dataset()
    key = {"Idempotency-Key": "k 1"}
    first = await world.api.post("/v1/experiments", json=experiment_spec(), headers=key)
    before = await world.rows()
    second = await world.api.post("/v1/experiments", json=experiment_spec(), headers=key)
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["location"] == first.headers["location"]
    assert "idempotent-replay" not in first.headers
    assert second.headers["idempotent-replay"] == "true"
    assert await world.rows() == before


async def test_the_same_key_with_another_body_is_refused(world: World) -> None:
    await world.dataset()
    key = {"Idempotency-Key": "k1"}
    await world.api.post("/v1/experiments", json=experiment_spec(), headers=key)
    answer = await world.api.post("/v1/experiments", json=experiment_spec("second"), headers=key)
    assert code_and_pointers(answer) == (422, "idempotency_key_reused", [])
    started = await world.api.post("/v1/experiments/first/runs", headers=key)
    assert started.json()["code"] == "idempotency_key_reused"


async def test_twenty_parallel_identical_requests_make_one_experiment_and_twenty_identical_answers(
    world: World,
) -> None:
    await world.dataset()

    async def send() -> tuple[int, bytes]:
        answer = await world.api.post("/v1/experiments", json=experiment_spec(), headers={"Idempotency-Key": "k"})
        return answer.status_code, answer.content

    answers = await asyncio.gather(*(send() for _ in range(20)))
    assert len(set(answers)) == 1
    assert answers[0][0] == 202
    rows = await world.rows()
    assert (rows["experiment"], rows["run"], rows["idempotency_record"]) == (1, 1, 1)


async def test_without_a_key_a_taken_name_is_a_conflict_also_in_parallel(world: World) -> None:
    await world.dataset()
    answers = await asyncio.gather(*(world.api.post("/v1/experiments", json=experiment_spec()) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert code_and_pointers(refused) == (409, "name_taken", ["/name"])
    assert (await world.rows())["experiment"] == 1


@anywhere
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"algorithms": [{"algorithm": "no-such"}]}, ("unknown_algorithm", "/algorithms/0/algorithm")),
        ({"parameters": {"eps": 0, "min_samples": 5}}, ("invalid_parameter", "/parameters/eps")),
        ({"parameters": {"eps": -1.5, "min_samples": 5}}, ("invalid_parameter", "/parameters/eps")),
        ({"parameters": {"eps": 0.1, "min_samples": 0}}, ("invalid_parameter", "/parameters/min_samples")),
        ({"datasets": ["blobs", "missing"]}, ("unknown_dataset", "/datasets/1")),
        ({"protocol": {"isolation": "pod"}}, ("isolation_not_available", "/protocol/isolation")),
        ({"protocol": {"isolation": "pod", "colocate": True}}, ("isolation_conflict", "/protocol/isolation")),
        (
            {"notifications": [{"url": "http://169.254.169.254/latest"}]},
            ("notification_host_forbidden", "/notifications/0/url"),
        ),
        ({"parameters": {"__prefect_kind": "json", "eps": 1}}, ("forbidden_key", "/parameters/__prefect_kind")),
        ({"protocol": {"sampleSizes": 1, "rounds": 0}}, ("invalid_request", "/protocol/rounds")),
        ({"sampleSizes": [10, -5]}, ("invalid_request", "/sampleSizes/1")),
        ({"algorithms": [{"algorithm": "sklearn-dbscan"}] * 2}, ("invalid_request", "")),
        ({"extra": 1}, ("invalid_request", "/extra")),
    ],
)
async def test_a_refused_experiment_says_where_and_leaves_nothing(
    world: World, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    await world.dataset()
    before = await world.rows()
    answer = await world.api.post(
        "/v1/experiments", json=experiment_spec(**changes), headers={"Idempotency-Key": "refused"}
    )
    status, code, pointers = code_and_pointers(answer)
    assert (status, code) == (422, expected[0])
    assert expected[1] in pointers
    assert await world.rows() == before


@anywhere
async def test_a_grid_of_ten_million_is_refused_with_its_number_before_it_is_expanded(world: World) -> None:
    await world.dataset()
    axis = [number / 1000 for number in range(1, 217)]
    grid = {"eps": axis, "min_samples": list(range(1, 217)), "leaf_size": list(range(1, 217))}
    answer = await asyncio.wait_for(world.api.post("/v1/experiments", json=experiment_spec(parameters=grid)), timeout=5)
    assert (answer.status_code, answer.json()["code"]) == (422, "grid_too_large")
    assert "5000" in answer.json()["detail"].replace(" ", "").replace(",", "").replace("\u202f", "")


@anywhere
@pytest.mark.parametrize(
    "name", ["", "x" * 300, "../../etc/passwd", "%2e%2e%2f", "a/b", "🙂", "Name", "a'; drop table run;--", "\u202ex"]
)
async def test_a_name_is_a_dns_label_and_nothing_else(world: World, name: str) -> None:
    answer = await world.api.post("/v1/experiments", json=experiment_spec(name))
    assert code_and_pointers(answer) == (422, "invalid_request", ["/name"])
    found = await world.api.get(f"/v1/experiments/{name.replace('/', '%2F') or '%20'}")
    assert (found.status_code, found.json()["code"]) == (404, "not_found")


@anywhere
async def test_a_dry_run_answers_the_plan_and_writes_nothing(world: World) -> None:
    await world.dataset()
    before = await world.rows()
    answer = await world.api.post("/v1/experiments?dry_run=true", json=experiment_spec())
    plan = answer.json()
    assert answer.status_code == 200
    assert [trial["label"] for trial in plan["trials"]] == ["sklearn-dbscan", "sklearn-dbscan-parallel"]
    assert plan["queues"] == {"default": plan["batches"]}
    assert all(trial["predicted_bytes"] > 0 and trial["routing"] for trial in plan["trials"])
    assert await world.rows() == before


@anywhere
async def test_a_dry_run_names_the_datasets_it_waits_for(world: World) -> None:
    await world.api.post("/v1/datasets", json={"name": "blobs", "source": {"builtin": "iris"}})
    plan = (await world.api.post("/v1/experiments?dry_run=true", json=experiment_spec())).json()
    assert (plan["trials"], plan["waiting_for_datasets"]) == ([], ["blobs"])


@anywhere
async def test_an_experiment_that_no_queue_can_hold_is_refused_with_the_number(world: World) -> None:
    await world.dataset(ready=prepared(n=1_000_000_000, neighbours=500_000_000.0))
    answer = await world.api.post("/v1/experiments", json=experiment_spec())
    assert code_and_pointers(answer) == (422, "nothing_fits", ["/sampleSizes"])
    assert "iB" in answer.json()["detail"]


@anywhere
async def test_an_experiment_over_a_failed_dataset_is_a_conflict(world: World) -> None:
    created = (await world.api.post("/v1/datasets", json={"name": "blobs", "source": {"builtin": "iris"}})).json()
    broken = {"code": FailureCode.INVALID_DATA, "message": "no rows"}
    await world.report_dataset(created["id"], {"failure": broken})
    answer = await world.api.post("/v1/experiments", json=experiment_spec())
    assert code_and_pointers(answer) == (409, "state_conflict", ["/datasets/0"])


@anywhere
@pytest.mark.parametrize(
    ("query", "schedule", "runs"),
    [
        ("", None, 1),
        ("?start=false", None, 0),
        ("", {"cron": "0 5 * * *"}, 0),
        ("?start=true", {"cron": "0 5 * * *"}, 1),
    ],
)
async def test_a_scheduled_experiment_starts_only_when_asked(
    world: World, query: str, schedule: dict[str, Any] | None, runs: int
) -> None:
    await world.dataset()
    spec = experiment_spec(schedule=schedule) if schedule else experiment_spec()
    assert (await world.api.post(f"/v1/experiments{query}", json=spec)).status_code == 202
    assert (await world.rows()).get("run", 0) == runs


async def test_another_run_is_started_once_per_key(world: World) -> None:
    await world.dataset()
    await world.experiment()
    key = {"Idempotency-Key": "again"}
    answers = [await world.api.post("/v1/experiments/first/runs", headers=key) for _ in range(2)]
    assert answers[0].status_code == 202
    assert answers[0].content == answers[1].content
    listed = (await world.api.get("/v1/runs", params={"experiment": "first", "state": "planning"})).json()["items"]
    assert len(listed) == 2
    assert listed[0]["id"] == answers[0].json()["id"] > listed[1]["id"]


async def test_an_experiment_is_deleted_with_everything_once_its_runs_have_ended(world: World) -> None:
    await world.dataset()
    run_id = await world.finished()
    experiment = await world.experiment("second")
    going = await world.api.delete("/v1/experiments/second")
    assert (going.status_code, going.json()["code"]) == (409, "state_conflict")
    assert (await world.api.delete("/v1/experiments/first")).status_code == 204
    assert (await world.api.delete("/v1/experiments/first")).status_code == 404
    assert (await world.api.get(f"/v1/runs/{run_id}")).status_code == 404
    rows = await world.rows()
    assert (rows["experiment"], rows["run"], rows.get("trial", 0)) == (1, 1, 0)
    async with world.resources.database.read() as session:
        assert await session.scalar(select(Work.kind).where(Work.kind == WorkKind.FORGET)) is not None
        assert str(await session.scalar(select(Experiment.id))) == experiment["id"]


async def test_the_commit_happens_before_the_first_byte_of_the_answer(world: World) -> None:
    await world.dataset()
    app = world.api._transport.app  # type: ignore[attr-defined]
    seen: list[int] = []
    body = json.dumps(experiment_spec()).encode()
    sent = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(sent)

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            async with world.resources.database.read() as session:
                seen.extend([message["status"], len((await session.scalars(select(Experiment.id))).all())])

    headers = [(b"content-type", b"application/json"), (b"host", b"api")]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/v1/experiments", "raw_path": b"/v1/experiments", "query_string": b"", "root_path": "",
        "headers": headers, "client": None, "server": None,
    }  # fmt: skip
    await app(scope, receive, send)
    assert seen == [202, 1]

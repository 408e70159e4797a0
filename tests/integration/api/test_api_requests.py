"""What holds for every request: ids, bodies, pages, unknown parameters, problems, keys, probes."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from api_builders import World, dataset_spec, experiment_spec
from pydantic import SecretStr
from sqlalchemy import text

from app.auth.schemas import KeySpec, Scope
from app.auth.service import create_key
from app.clock import now
from app.contracts.objects import ObjectStore, StoreUnavailableError, upload_key
from app.db.engine import Database
from app.db.migrate import head
from app.main import create_app
from app.resources import Resources
from app.settings import DatabaseSettings, Settings

pytestmark = pytest.mark.parametrize("backend", ["sqlite+folder"], indirect=True)
Client = Callable[..., httpx.AsyncClient]


def with_settings(resources: Resources, **sections: Any) -> Settings:
    known = resources.settings
    api = {"authentication": False, **sections.pop("api", {})}
    return Settings.model_validate({"database": known.database, "api": api, **sections})


async def post_raw(world: World, body: bytes, kind: str | None = "application/json") -> httpx.Response:
    headers = {"Content-Type": kind} if kind else {}
    return await world.api.post("/v1/experiments", content=body, headers=headers)


SPEC = json.dumps(experiment_spec()).encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"not json", 400),
        (b"\xff\xfe{}", 400),
        (b'{"name": "\xc3\x28"}', 400),
        (b'\xef\xbb\xbf{"name": "a"}', 400),
        (b'{"name": "a", "name": "b"}', 400),
        (b'{"parameters": {"eps": 1, "eps": 2}}', 400),
        (b'{"parameters": {"eps": NaN}}', 400),
        (b'{"parameters": {"eps": Infinity}}', 400),
        (b'{"parameters": {"eps": -Infinity}}', 400),
        (b'{"parameters": {"eps": 1e400}}', 400),
        (b'{"parameters": {"eps": 9223372036854775808}}', 400),
        (b'{"parameters": {"eps": -9223372036854775809}}', 400),
        (b'{"parameters": {"eps": ' + b"9" * 5000 + b"}}", 400),
        (b'{"description": "a\\u0000b"}', 400),
        (b'{"a\\u0000b": 1}', 400),
        (b'{"description": "\\ud800"}', 400),
        (b'{"description": "\\udc00\\ud800"}', 400),
        (b"[" * 100_000, 400),
        (b"[" * 65 + b"]" * 65, 400),
        (b'{"a":' * 70 + b"1" + b"}" * 70, 400),
        (b"[" * 64 + b"]" * 64, 422),
        (b"null", 422),
        (b'"text"', 422),
        (b"[]", 422),
        (b"{" + b",".join(b'"k%d":1' % n for n in range(20_000)) + b"}", 422),
        (b'{"labels": {"a": {"__prefect_kind": 1}}}', 422),
        (b" " * (2 << 20) + b"1", 413),
    ],
)
async def test_a_body_that_is_no_strict_json_document_is_refused(world: World, body: bytes, status: int) -> None:
    answer = await post_raw(world, body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert len(answer.content) < 40_000


async def test_surrogate_pairs_are_characters_and_pass(world: World) -> None:
    await world.dataset()
    body = json.dumps(experiment_spec(description="🙂")).encode()
    assert b"\\ud83d\\ude42" in body
    assert (await post_raw(world, body)).status_code == 202


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/yaml", None])
async def test_a_body_that_is_not_declared_as_json_is_refused(world: World, kind: str | None) -> None:
    answer = await post_raw(world, SPEC, kind)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_a_streamed_body_is_cut_at_the_limit(world: World) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 100:
            sent += 1
            yield b" " * (1 << 20)

    answer = await world.api.post("/v1/experiments", content=endless(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert sent <= 4


@pytest.mark.parametrize("sent", ["abc-1.2_X", "a" * 64])
async def test_a_request_id_is_taken_over(world: World, sent: str) -> None:
    answer = await world.api.get("/v1/runs/x", headers={"X-Request-ID": sent})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "a" * 65, "a b", 'a"b', "<script>"])
async def test_a_request_id_of_another_shape_is_replaced(world: World, sent: str) -> None:
    given = (await world.api.get("/livez", headers={"X-Request-ID": sent})).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", given)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/experiments/", 404, "not_found"),
        ("GET", "/internal/v1/batches:claim", 404, "not_found"),
        ("PUT", "/v1/experiments", 405, "method_not_allowed"),
        ("GET", "/v1/runs/not-an-id", 404, "not_found"),
        ("GET", "/v1/runs/00000000-0000-0000-0000-000000000000", 404, "not_found"),
        ("GET", "/v1/runs/00000000-0000-0000-0000-000000000000/trials", 404, "not_found"),
        ("GET", "/v1/runs/00000000-0000-0000-0000-000000000000/comparison", 404, "not_found"),
        ("GET", "/v1/runs/00000000-0000-0000-0000-000000000000/results", 404, "not_found"),
        ("GET", "/v1/runs/00000000-0000-0000-0000-000000000000/logs", 404, "not_found"),
        ("POST", "/v1/runs/00000000-0000-0000-0000-000000000000/cancel", 404, "not_found"),
        ("GET", "/v1/trials/00000000-0000-0000-0000-000000000000", 404, "not_found"),
        ("GET", "/v1/datasets/%00", 404, "not_found"),
        ("GET", "/v1/algorithms/..%2f", 404, "not_found"),
        ("GET", "/v1/runs?experiment=missing", 404, "not_found"),
        ("GET", "/v1/runs?state=bogus", 422, "invalid_request"),
        ("GET", "/v1/runs?stat=failed", 422, "invalid_request"),
        ("GET", "/v1/experiments/first?x=1", 422, "invalid_request"),
        ("GET", "/v1/runs?limit=0", 422, "invalid_request"),
        ("GET", "/v1/runs?limit=" + "9" * 5000, 422, "invalid_request"),
        ("GET", "/v1/runs/00000000-0000-0000-0000-000000000000?wait=31", 422, "invalid_request"),
        ("GET", "/v1/runs/00000000-0000-0000-0000-000000000000?wait=nan", 422, "invalid_request"),
    ],
)
async def test_every_error_is_a_problem(world: World, method: str, path: str, status: int, code: str) -> None:
    answer = await world.api.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "detail", "hint", "instance", "request_id"} <= set(answer.json())


async def test_405_names_the_methods(world: World) -> None:
    assert (await world.api.put("/v1/keys")).headers["allow"]


async def test_pages_go_on_where_the_one_before_ended_newest_first(world: World) -> None:
    for number in range(5):
        await world.api.post("/v1/datasets", json=dataset_spec(f"d{number}"))
    names: list[str] = []
    token = ""
    for _ in range(3):
        page = (await world.api.get(f"/v1/datasets?limit=2{token}")).json()
        names += [item["name"] for item in page["items"]]
        token = f"&page_token={page['next_page_token']}"
    assert names == ["d4", "d3", "d2", "d1", "d0"]
    assert page["next_page_token"] is None


async def test_the_limit_is_capped(world: World, resources: Resources, changed: Client) -> None:
    for number in range(4):
        await world.api.post("/v1/datasets", json=dataset_spec(f"d{number}"))
    api = changed(settings=with_settings(resources, api={"page_limit": 3}))
    assert len((await api.get("/v1/datasets?limit=1000000000")).json()["items"]) == 3


async def test_a_token_that_was_changed_or_is_of_another_list_is_refused(world: World) -> None:
    for number in range(3):
        await world.api.post("/v1/datasets", json=dataset_spec(f"d{number}"))
    token = (await world.api.get("/v1/datasets?limit=1")).json()["next_page_token"]
    swapped = token[:-1] + ("A" if token[-1] != "A" else "B")
    attempts = [
        ("/v1/datasets", swapped),
        ("/v1/datasets", token[3:]),
        ("/v1/datasets", "x"),
        ("/v1/datasets", "ü%00"),
        ("/v1/datasets", ""),
        ("/v1/runs", token),
        ("/v1/algorithms", token),
    ]
    for path, sent in attempts:
        answer = await world.api.get(path, params={"page_token": sent})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_page_token"), (path, sent)


async def test_a_database_that_is_away_is_503_and_says_when_to_come_back(changed: Client, tmp_path: Path) -> None:
    gone = Database(DatabaseSettings(url=SecretStr("postgresql+asyncpg://nobody@127.0.0.1:1/none"), connect_seconds=1))
    api = changed(database=gone)
    for answer in [await api.get("/v1/runs"), await api.post("/v1/datasets", json=dataset_spec())]:
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "127.0.0.1" not in answer.text
    assert (await api.get("/livez")).status_code == 200
    assert (await api.get("/readyz")).status_code == 503
    await gone.close()


async def test_a_locked_database_is_503_and_not_a_defect(world: World, resources: Resources, changed: Client) -> None:
    impatient = Database(DatabaseSettings(url=resources.settings.database.url, busy_seconds=0.05))
    api = changed(database=impatient)
    async with resources.database.write() as session:
        await session.execute(text("SELECT 1"))
        answer = await api.post("/v1/datasets", json=dataset_spec())
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    await impatient.close()


async def test_a_defect_is_a_500_that_leaks_nothing(world: World, changed: Client) -> None:
    def broken(_: object) -> str:
        raise RuntimeError("secret /etc/passwd")

    await world.dataset()
    run_id = (await world.experiment())["latest_run_id"]
    answer = await changed(render_report=broken).get(f"/v1/runs/{run_id}/report", headers={"X-Request-ID": "r1"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "r1"
    assert "secret" not in answer.text


async def test_readiness_is_degraded_when_the_store_is_away(world: World, changed: Client) -> None:
    class Away:
        def exists(self, key: str) -> bool:
            raise StoreUnavailableError(key)

    assert (await world.api.get("/readyz")).json() == {"status": "ready", "checks": []}
    degraded = (await changed(objects=Away()).get("/readyz?verbose=true")).json()
    assert (degraded["status"], [check["ok"] for check in degraded["checks"]]) == ("degraded", [True, False])


async def test_requests_are_measured_by_route_template(world: World) -> None:
    await world.api.get("/v1/experiments/some-name")
    await world.api.get("/nowhere/at/all")
    text = (await world.api.get("/metrics")).text
    labels = 'method="GET",route="/v1/experiments/{experiment}",status="404"'
    assert f"corepoint_http_requests_total{{{labels}}} 1.0" in text
    assert 'route="(none)"' in text
    assert "some-name" not in text


async def test_version_names_the_schema(world: World) -> None:
    assert (await world.api.get("/version")).json()["schema_revision"] == head()


async def test_the_catalogue_is_listed_with_its_parameters(world: World) -> None:
    listed = (await world.api.get("/v1/algorithms?limit=1")).json()
    assert [one["name"] for one in listed["items"]] == ["sklearn-dbscan"]
    rest = (await world.api.get("/v1/algorithms", params={"page_token": listed["next_page_token"]})).json()
    assert "spark-dbscan" in [one["name"] for one in rest["items"]]
    one = (await world.api.get("/v1/algorithms/sklearn-dbscan")).json()
    assert "eps" in one["parameters_schema"]["properties"]


async def test_an_upload_becomes_an_object_and_then_a_source(world: World) -> None:
    body = b"x,y\n1,2\n" * 300_000
    answer = await world.api.post("/v1/uploads", content=body)
    upload = answer.json()
    assert (answer.status_code, upload["size_bytes"]) == (201, len(body))
    stored: ObjectStore = world.resources.objects
    assert stored.get(upload_key(UUID(upload["id"]))) == body
    created = await world.api.post("/v1/datasets", json={"name": "mine", "source": {"upload": upload["id"]}})
    claim = {"dataset_id": created.json()["id"], "attempt": 1, "flow_run_id": "f", "worker": "w"}
    assigned = (await world.internal.post("/internal/v1/datasets:claim", json=claim)).json()
    assert assigned["object_sha256"] == upload["sha256"]
    assert assigned["object_key"] == f"uploads/{upload['id']}"


async def test_an_upload_beyond_the_limit_leaves_neither_object_nor_row(
    world: World, resources: Resources, changed: Client
) -> None:
    api = changed(settings=with_settings(resources, api={"upload_bytes": 1000}))

    async def streamed() -> Any:
        for _ in range(30):
            yield b"x" * 100

    for content in (b"x" * 1001, streamed()):
        answer = await api.post("/v1/uploads", content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert (await api.post("/v1/uploads", content=b"")).status_code == 422
    assert list(resources.objects.keys("uploads/")) == []
    assert "upload" not in await world.rows()


async def test_an_upload_that_the_store_does_not_take_leaves_no_row(world: World, changed: Client) -> None:
    class Away:
        def upload(self, key: str, source: Path) -> None:
            raise StoreUnavailableError(key)

    answer = await changed(objects=Away()).post("/v1/uploads", content=b"1,2\n")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "upload" not in await world.rows()


@pytest.mark.parametrize(
    ("source", "code", "pointer"),
    [
        ({"path": "{outside}"}, "source_forbidden", "/source/path"),
        ({"path": "{root}/link.csv"}, "source_forbidden", "/source/path"),
        ({"path": "{root}/../outside.csv"}, "source_forbidden", "/source/path"),
        ({"path": "{root}/missing.csv"}, "source_forbidden", "/source/path"),
        ({"path": "{root}"}, "source_forbidden", "/source/path"),
        ({"path": "/proc/self/environ"}, "source_forbidden", "/source/path"),
        ({"s3": "s3://somebody-elses/data.csv"}, "source_forbidden", "/source/s3"),
        ({"upload": "00000000-0000-0000-0000-000000000000"}, "invalid_request", "/source/upload"),
        ({"builtin": "iris", "generate": {"kind": "moons", "n": 10}}, "invalid_request", "/source"),
        ({"generate": {"kind": "moons", "n": 0}}, "invalid_request", "/source/generate/n"),
    ],
)
async def test_a_source_that_is_not_allowed_is_refused(
    world: World, resources: Resources, changed: Client, tmp_path: Path, *, source: Any, code: str, pointer: str
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside.csv"
    root.mkdir()
    outside.write_text("1,2\n")
    (root / "inside.csv").write_text("1,2\n")
    (root / "link.csv").symlink_to(outside)
    api = changed(settings=with_settings(resources, datasets={"path_roots": [str(root)]}))
    if "path" in source:
        source = {"path": source["path"].format(root=root, outside=outside)}
    answer = await api.post("/v1/datasets", json={"name": "mine", "source": source})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    allowed = {"name": "mine", "source": {"path": f"{root}/inside.csv"}}
    assert (await api.post("/v1/datasets", json=allowed)).status_code == 202


async def test_the_same_dataset_again_is_the_same_one_and_another_is_a_conflict(world: World) -> None:
    first = await world.api.post("/v1/datasets", json=dataset_spec())
    again = await world.api.post("/v1/datasets", json=dataset_spec())
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json() == again.json()
    other = await world.api.post("/v1/datasets", json=dataset_spec(scaling="standard"))
    assert (other.status_code, other.json()["code"]) == (409, "name_taken")


async def test_a_wait_ends_when_the_run_changes(world: World) -> None:
    await world.dataset()
    run_id = (await world.experiment())["latest_run_id"]
    began = time.monotonic()
    waiting = asyncio.create_task(world.api.get(f"/v1/runs/{run_id}?wait=20"))
    await asyncio.sleep(0.1)
    await world.api.post(f"/v1/runs/{run_id}/cancel")
    assert (await waiting).json()["cancel_requested"] is True
    assert time.monotonic() - began < 10
    assert (await world.api.get(f"/v1/runs/{run_id}?wait=0.1")).status_code == 200


async def test_keys_open_what_their_scopes_say_until_they_end(
    world: World, resources: Resources, changed: Client
) -> None:
    secret = SecretStr("a secret of the installation")
    settings = with_settings(resources, api={"authentication": True, "key_secret": secret})
    api = changed(settings=settings)

    async def key(name: str, *scopes: Scope, days: int = 1) -> dict[str, str]:
        spec = KeySpec(name=name, scopes=list(scopes), expires_at=now() + timedelta(days=days))
        async with resources.database.write() as session:
            made = await create_key(session, secret, spec, now())
        return {"Authorization": f"Bearer {made.key}"}

    reader, writer, expired = (
        await key("r", Scope.READ),
        await key("w", Scope.WRITE),
        await key("e", Scope.READ, days=-1),
    )
    tampered = {"Authorization": reader["Authorization"][:-1] + ("A" if reader["Authorization"][-1] != "A" else "B")}
    for headers in ({}, expired, tampered, {"Authorization": "Bearer cp_x_y"}, {"Authorization": "Basic YTpi"}):
        answer = await api.get("/v1/runs", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert (await api.get("/v1/runs", headers=reader)).status_code == 200
    assert (await api.get("/v1/runs", headers=writer)).status_code == 403
    assert (await api.post("/v1/datasets", json=dataset_spec(), headers=reader)).json()["code"] == "forbidden"
    assert (await api.post("/v1/datasets", json=dataset_spec(), headers=writer)).status_code == 202
    made = (await api.post("/v1/keys", json={"name": "new", "scopes": ["read"]}, headers=writer)).json()
    assert re.fullmatch(r"cp_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", made["key"])
    new = {"Authorization": f"Bearer {made['key']}"}
    assert (await api.get("/v1/runs", headers=new)).status_code == 200
    listed = await api.get("/v1/keys", headers=writer)
    assert [one["name"] for one in listed.json()["items"]] == ["new", "e", "w", "r"]
    assert made["key"] not in listed.text
    taken = await api.post("/v1/keys", json={"name": "new"}, headers=writer)
    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    assert (await api.delete(f"/v1/keys/{made['id']}", headers=writer)).status_code == 204
    assert (await api.get("/v1/runs", headers=new)).status_code == 401
    assert (await api.get("/livez")).status_code == 200


async def test_every_route_of_the_public_api_needs_a_key(resources: Resources, changed: Client) -> None:
    settings = with_settings(resources, api={"authentication": True, "key_secret": "s"})
    api = changed(settings=settings)
    paths = create_app(replace(resources, settings=settings)).openapi()["paths"]
    open_to_all = {"/livez", "/readyz", "/version", "/metrics"}
    zero = "00000000-0000-0000-0000-000000000000"
    for path, operations in paths.items():
        for method in operations:
            answer = await api.request(method, re.sub(r"\{\w+\}", zero, path))
            assert (answer.status_code == 401) is (path not in open_to_all), (method, path, answer.text)


async def test_the_internal_api_needs_the_scope_worker(world: World, resources: Resources) -> None:
    secret = SecretStr("s")
    settings = with_settings(resources, api={"authentication": True, "key_secret": secret})
    async with World.over(replace(resources, settings=settings)) as guarded:
        claim = {"dataset_id": "00000000-0000-0000-0000-000000000000", "attempt": 1, "flow_run_id": "f", "worker": "w"}
        path = "/internal/v1/datasets:claim"
        assert (await guarded.internal.post(path, json=claim)).status_code == 401
        for scope, status in ((Scope.READ, 403), (Scope.WORKER, 404)):
            async with resources.database.write() as session:
                made = await create_key(session, secret, KeySpec(name=scope.value, scopes=[scope]), now())
            headers = {"Authorization": f"Bearer {made.key}"}
            assert (await guarded.internal.post(path, json=claim, headers=headers)).status_code == status


async def test_authentication_without_a_secret_does_not_start(resources: Resources) -> None:
    with pytest.raises(ValueError, match="key_secret"):
        create_app(replace(resources, settings=with_settings(resources, api={"authentication": True})))


async def test_logs_degrade_to_not_available(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    assert (await world.api.get(f"/v1/runs/{run_id}/logs")).json() == {"available": True, "lines": []}
    await world.claimed(batches[0], "flow-9")
    logs = (await world.api.get(f"/v1/runs/{run_id}/logs?limit=1")).json()
    assert logs == {"available": True, "lines": ["flow-9: one"]}
    world.resources.logs.lines = None  # type: ignore[attr-defined]
    assert (await world.api.get(f"/v1/runs/{run_id}/logs")).json() == {"available": False, "lines": []}


async def test_a_finished_run_is_compared_reported_and_exported(world: World) -> None:
    await world.dataset()
    run_id = await world.finished()
    comparison = (await world.api.get(f"/v1/runs/{run_id}/comparison")).json()
    (group,) = comparison["groups"]
    assert (group["sample_size"], group["d"]) == (1000, 2)
    assert [entry["verdict"] for entry in group["entries"]] == [None, "identical"]
    assert group["entries"][1]["ratio"]["paired"] is True
    assert len(comparison["environments"]) == 1
    report = await world.api.get(f"/v1/runs/{run_id}/report")
    assert report.headers["content-type"].startswith("text/html")
    assert "first" in report.text
    rows = (await world.api.get(f"/v1/runs/{run_id}/results")).json()
    assert [(row["label"], row["round"], row["fit_seconds"]) for row in rows] == [
        (label, number, 0.5) for label in ("sklearn-dbscan", "sklearn-dbscan-parallel") for number in range(3)
    ]
    table = await world.api.get(f"/v1/runs/{run_id}/results?format=csv")
    assert table.headers["content-type"].startswith("text/csv")
    lines = table.text.splitlines()
    assert len(lines) == 7
    assert lines[0].split(",")[:3] == ["run_id", "trial_id", "label"]


async def test_an_unfinished_run_has_a_comparison_and_a_row_for_every_trial(world: World) -> None:
    await world.dataset()
    run_id, _ = await world.planned()
    comparison = await world.api.get(f"/v1/runs/{run_id}/comparison")
    assert [entry["state"] for entry in comparison.json()["groups"][0]["entries"]] == ["pending", "pending"]
    assert [row["state"] for row in (await world.api.get(f"/v1/runs/{run_id}/results")).json()] == ["pending"] * 2

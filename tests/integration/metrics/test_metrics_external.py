"""The external metrics API as the aggregator and an HPA use it, over real TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Authority, Pair
from metrics_rows import Rows
from metrics_served import NAMESPACE, PROXY, Certificates, Served, served
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app.clock import now
from app.contracts.states import BatchState, QueueName
from app.metrics.server import serve
from app.metrics.tls import TlsError
from app.metrics.trust import TrustError
from app.settings import Settings

ROOT = "/apis/external.metrics.k8s.io/v1beta1"
DEMAND = f"{ROOT}/namespaces/{NAMESPACE}/corepoint_queue_demand"
RENEW_SECONDS = 0.2


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def component(database_url: str, certificates: Certificates) -> AsyncIterator[Served]:
    async with served(database_url, certificates) as made:
        yield made


@pytest.fixture
async def proxy(component: Served, certificates: Certificates) -> AsyncIterator[httpx.AsyncClient]:
    """The aggregator's view."""
    async with component.as_client(certificates.proxy) as client:
        yield client


def items(answer: httpx.Response) -> dict[str, str]:
    """Values by queue."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["kind"], body["apiVersion"]) == ("ExternalMetricValueList", "external.metrics.k8s.io/v1beta1")
    return {item["metricLabels"]["queue"]: item["value"] for item in body["items"]}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and reason, of what must be a Status object."""
    body: dict[str, Any] = answer.json()
    assert (body["kind"], body["status"], body["code"]) == ("Status", "Failure", answer.status_code)
    return answer.status_code, body["reason"]


async def test_discovery_names_the_metrics(proxy: httpx.AsyncClient) -> None:
    answer = (await proxy.get(ROOT)).json()
    assert (answer["kind"], answer["groupVersion"]) == ("APIResourceList", "external.metrics.k8s.io/v1beta1")
    listed = {one["name"]: one for one in answer["resources"]}
    assert listed["corepoint_queue_demand"] == {
        "name": "corepoint_queue_demand",
        "singularName": "",
        "namespaced": True,
        "kind": "ExternalMetricValueList",
        "verbs": ["get"],
    }


async def test_an_idle_queue_is_one_item_with_zero(proxy: httpx.AsyncClient) -> None:
    answer = await proxy.get(DEMAND, params={"labelSelector": "queue=spark"})
    assert items(answer) == {"spark": "0"}
    (item,) = answer.json()["items"]
    assert item["metricName"] == "corepoint_queue_demand"
    assert abs((now() - datetime.fromisoformat(item["timestamp"])).total_seconds()) < 30


async def test_an_hpa_gets_the_demand_of_its_queue(proxy: httpx.AsyncClient, rows: Rows) -> None:
    await rows.batches(7, BatchState.SUBMITTED, QueueName.SPARK, ago=90)
    await rows.batches(2, BatchState.RUNNING, QueueName.SPARK)
    await rows.batches(1, BatchState.RUNNING)
    assert items(await proxy.get(DEMAND, params={"labelSelector": "queue=spark"})) == {"spark": "9"}
    both = await proxy.get(DEMAND, params={"labelSelector": "queue in (default,spark)"})
    assert items(both) == {"default": "1", "spark": "9"}
    assert items(await proxy.get(DEMAND)) == {"default": "1", "high-memory": "0", "spark": "9", "priority": "0"}
    assert items(await proxy.get(DEMAND, params={"labelSelector": "queue=none"})) == {}
    waiting = f"{ROOT}/namespaces/{NAMESPACE}/corepoint_queue_oldest_wait_seconds"
    assert 85 <= int(items(await proxy.get(waiting, params={"labelSelector": "queue=spark"}))["spark"]) <= 120


@pytest.mark.parametrize(
    "path",
    [
        f"{ROOT}/namespaces/{NAMESPACE}/corepoint_nothing",
        f"{ROOT}/namespaces/another/corepoint_queue_demand",
        "/openapi/v2",
        "/openapi/v3",
        "/apis",
        "/",
    ],
)
async def test_what_is_not_there_is_a_not_found(proxy: httpx.AsyncClient, path: str) -> None:
    assert refusal(await proxy.get(path)) == (404, "NotFound")


async def test_other_refusals_are_status_objects_too(proxy: httpx.AsyncClient) -> None:
    assert refusal(await proxy.get(DEMAND, params={"labelSelector": "queue in ("})) == (400, "BadRequest")
    assert refusal(await proxy.delete(DEMAND)) == (405, "MethodNotAllowed")


async def test_only_the_front_proxy_is_answered(component: Served, certificates: Certificates) -> None:
    async with component.as_client(certificates.theirs.issue("admin")) as other_name:
        assert refusal(await other_name.get(DEMAND)) == (403, "Forbidden")
        assert refusal(await other_name.get("/openapi/v2")) == (403, "Forbidden")
    other_authority = Authority(certificates.folder, "somebody").issue(PROXY, "impostor")
    for client in (other_authority, certificates.serving, None):
        async with component.as_client(client) as refused:
            with pytest.raises(httpx.TransportError):
                await refused.get(DEMAND)


async def accepted(component: Served, client: Pair, server: Authority) -> bool:
    async with component.as_client(client, server) as made:
        try:
            return (await made.get(DEMAND)).status_code == 200
        except httpx.TransportError:
            return False


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_rotated_certificates_are_taken_up_while_serving(database_url: str, tmp_path: Path) -> None:
    first = Certificates.make(tmp_path)
    second_folder = tmp_path / "second"
    second_folder.mkdir()
    async with served(database_url, first, renew_seconds=RENEW_SECONDS) as component:
        assert await accepted(component, first.proxy, first.ours)
        second = Certificates.make(second_folder)
        assert not await accepted(component, second.proxy, first.ours)
        first.serving.key.write_text("half written")
        await asyncio.sleep(3 * RENEW_SECONDS)
        assert await accepted(component, first.proxy, first.ours), "what is of no use was taken up"
        for old, new in (
            (first.theirs.file, second.theirs.file),
            (first.serving.certificate, second.serving.certificate),
            (first.serving.key, second.serving.key),
        ):
            old.write_bytes(new.read_bytes())
        await asyncio.sleep(3 * RENEW_SECONDS)
        assert await accepted(component, second.proxy, second.ours)
        assert not await accepted(component, first.proxy, second.ours)


async def admin(server: str, *statements: str) -> None:
    engine = create_async_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_database_that_is_away_is_an_error_and_never_a_zero(
    component: Served, proxy: httpx.AsyncClient, rows: Rows, database_url: str, postgres: str
) -> None:
    await rows.batches(3, BatchState.SUBMITTED)
    name = database_url.rsplit("/", 1)[-1]
    assert items(await proxy.get(DEMAND, params={"labelSelector": "queue=default"})) == {"default": "3"}
    await admin(
        postgres,
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",  # noqa: S608 - ours
    )
    await asyncio.sleep(0.1)
    assert refusal(await proxy.get(DEMAND)) == (503, "ServiceUnavailable")
    assert (await proxy.get(ROOT)).status_code == 200, "discovery does not depend on the database"
    assert (await component.plain.get("/queues/default")).status_code == 503
    scraped = (await component.plain.get("/metrics")).text
    assert "corepoint_database_readable 0.0" in scraped
    assert "corepoint_queue_demand" not in scraped
    assert (await component.plain.get("/readyz")).status_code == 200, "or the APIService would be gone"
    async with served(database_url) as fresh:
        assert (await fresh.plain.get("/readyz")).status_code == 503
        assert (await fresh.plain.get("/livez")).status_code == 200
    await admin(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await asyncio.sleep(0.1)
    assert items(await proxy.get(DEMAND, params={"labelSelector": "queue=default"})) == {"default": "3"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_keda_reads_a_queue_as_json(component: Served, rows: Rows) -> None:
    await rows.batches(2, BatchState.RUNNING, QueueName.SPARK)
    assert (await component.plain.get("/queues/spark")).json() == {
        "queue": "spark",
        "demand": 2,
        "waiting": 0,
        "running": 2,
        "oldest_wait_seconds": 0.0,
        "workers_wanted": 2,
    }
    unknown = await component.plain.get("/queues/nothing")
    assert (unknown.status_code, unknown.json()["queue"]) == (404, "nothing")


async def test_it_does_not_start_where_it_could_not_know_whom_to_trust(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    values = {"database": {"url": f"sqlite+aiosqlite:///{tmp_path}/none.db"}}
    metrics = {"port": 0, "external_port": 0, **certificates.settings()}
    with pytest.raises(TlsError, match="COREPOINT_KUBERNETES__NAMESPACE"):
        await serve(Settings.model_validate({**values, "metrics": metrics}))
    inside = {**values, "kubernetes": {"namespace": NAMESPACE}}
    with pytest.raises(TrustError, match="extension-apiserver-authentication"):
        await serve(Settings.model_validate({**inside, "metrics": {**metrics, "client_ca_file": None}}))
    with pytest.raises(TlsError, match="missing"):
        await serve(
            Settings.model_validate({**inside, "metrics": {**metrics, "private_key_file": tmp_path / "missing"}})
        )

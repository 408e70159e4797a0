"""What others see: Prometheus the queues, and the node every connection that was made."""

from __future__ import annotations

import pytest

from hack.dashboards import panel_queries
from tests.chart.reachability import External, Pod, Policies
from tests.cluster.connections import Connection, Known, Recorder
from tests.cluster.installation import NAMESPACE, Installation
from tests.cluster.kube import wait_for
from tests.cluster.prometheus import Prometheus, running_prometheus


@pytest.fixture(scope="module")
def prometheus(installation: Installation):  # type: ignore[no-untyped-def]
    with running_prometheus() as found:
        yield found


def test_prometheus_scrapes_every_target(prometheus: Prometheus) -> None:
    assert prometheus.targets() == {"api": "up", "dispatcher": "up", "metrics": "up"}


def test_every_panel_of_the_dashboards_has_data(installation: Installation, prometheus: Prometheus) -> None:
    # Requests before and between scrapes: a rate needs something to grow.
    enough = prometheus.scrapes() + 4
    wait_for(lambda: installation.items("/v1/experiments") and prometheus.scrapes() >= enough, 60, "scrapes", pause=0.5)
    empty = [f"{panel.dashboard}/{panel.title}" for panel in panel_queries() if not prometheus.query(panel.expr)]
    assert empty == []


def test_every_connection_that_was_made_is_allowed(installation: Installation, connections: Recorder) -> None:
    """The node's CNI need not enforce policies: what was seen is judged by the policies of the release."""
    policies = Policies.from_objects(installation.kube.objects("networkpolicies"), NAMESPACE)
    refused: set[str] = set()
    pairs: set[str] = set()
    for connection, moment in list(connections.seen.items()):
        source = connections.owner(connection.source, moment)
        destination, port = connections.reached(connection, moment)
        # What the node itself opens (probes, port-forwards) is not the policies' business.
        if source is None or not _ours(source, destination):
            continue
        name = f"{_name(source)} -> {_name(destination)}:{port}"
        pairs.add(name)
        if not policies.allows(source.pod, _end(destination, connection), port):
            refused.add(name)
    print("\n".join(["", *sorted(pairs)]))  # noqa: T201 - for the record
    assert {"worker -> api:8788", "worker -> minio:9000", "spark-executor -> spark-driver:7078"} <= pairs
    assert sorted(refused) == []


@pytest.mark.parametrize(("component", "port"), [("postgres", 5432), ("api", 8787), ("mlflow", 5000), ("worker", 8080)])
def test_a_connection_that_is_not_allowed_would_be_noticed(
    installation: Installation, component: str, port: int
) -> None:
    policies = Policies.from_objects(installation.kube.objects("networkpolicies"), NAMESPACE)
    pods = {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for pod in installation.kube.objects("pods")}
    one, other = Pod.from_object(pods["worker"]), Pod.from_object(pods[component])
    assert not policies.allows(one, other, port)


def _ours(source: Known, destination: Known | None) -> bool:
    return NAMESPACE in {source.pod.namespace, destination.pod.namespace if destination else ""}


def _end(destination: Known | None, connection: Connection) -> Pod | External:
    return destination.pod if destination else External(connection.destination)


def _name(known: Known | None) -> str:
    if known is None:
        return "outside"
    return known.pod.labels.get("app.kubernetes.io/component") or known.pod.namespace

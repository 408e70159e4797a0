"""What others see: Prometheus the queues, and the node every connection that was made."""

from __future__ import annotations

import pytest
from hack.dashboards import panel_queries

from tests.chart.reachability import Policies
from tests.cluster.connections import Known, Recorder
from tests.cluster.installation import NAMESPACE, Installation
from tests.cluster.prometheus import Prometheus, running_prometheus


@pytest.fixture(scope="module")
def prometheus(installation: Installation):  # type: ignore[no-untyped-def]
    with running_prometheus() as found:
        yield found


def test_prometheus_scrapes_every_target(prometheus: Prometheus) -> None:
    assert prometheus.targets() == {"api": "up", "dispatcher": "up", "metrics": "up"}


def test_every_panel_of_the_dashboards_has_data(installation: Installation, prometheus: Prometheus) -> None:
    installation.items("/v1/experiments")  # a request that the panels of the API can show
    prometheus.wait_for_scrapes()
    empty = [f"{panel.dashboard}/{panel.title}" for panel in panel_queries() if not prometheus.query(panel.expr)]
    assert empty == []


def test_every_connection_that_was_made_is_allowed(installation: Installation, connections: Recorder) -> None:
    """The node's CNI need not enforce policies: what was seen is judged by the policies of the release."""
    policies = Policies.from_objects(installation.kube.objects("networkpolicies"))
    refused, judged = [], 0
    for connection, moment in list(connections.seen.items()):
        source = connections.owner(connection.source, moment)
        destination = connections.owner(connection.destination, moment)
        if source is None or destination is None or NAMESPACE not in {source.namespace, destination.namespace}:
            continue
        judged += 1
        if not _allowed(policies, source, destination, connection.port):
            refused.append(f"{_name(source)} -> {_name(destination)}:{connection.port}")
    print(f"{judged} connections between pods")  # noqa: T201 - for the record
    assert judged > 20
    assert sorted(set(refused)) == []


def test_a_connection_that_is_not_allowed_would_be_noticed(installation: Installation) -> None:
    policies = Policies.from_objects(installation.kube.objects("networkpolicies"))
    worker = {"app.kubernetes.io/component": "worker", "app.kubernetes.io/instance": "corepoint"}
    postgres = {"app.kubernetes.io/component": "postgres", "app.kubernetes.io/instance": "corepoint"}
    assert not policies.allows(worker, postgres, 5432)


def _allowed(policies: Policies, source: Known, destination: Known, port: int) -> bool:
    return policies.allows(source.labels, destination.labels, port)


def _name(known: Known) -> str:
    return known.labels.get("app.kubernetes.io/component", known.namespace)

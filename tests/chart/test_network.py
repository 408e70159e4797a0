"""Who may talk to whom is what docs/operations/network.md says, and nobody else may."""

from __future__ import annotations

import json

import pytest

from tests.chart.network import API_SERVER, DATA_HOST, PLACES, SCRAPERS, WEBHOOK_HOST, documented, matrix, roles
from tests.chart.reachability import NAMESPACE_NAME, External, Policies
from tests.chart.rendering import NAMESPACE, Object, objects

SCRAPER = {
    "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: SCRAPERS.namespace}},
    "podSelector": {"matchLabels": SCRAPERS.labels},
}
# Every part switched on, and the addresses that a cluster's owner gives.
GIVEN = (
    "--set=spark.submitter=operator",
    "--set=podIsolation.enabled=true",
    "--set=autoscaling.source=builtin",
    f"--set=networkPolicy.apiServer.cidrs={{{API_SERVER}/32}}",
    f"--set=networkPolicy.datasets.cidrs={{{DATA_HOST}/32}}",
    f"--set=networkPolicy.webhooks.cidrs={{{WEBHOOK_HOST}/32}}",
    f"--set-json=networkPolicy.scrapers={json.dumps([SCRAPER])}",
)


@pytest.fixture
def release() -> list[Object]:
    return objects("defaults", *GIVEN)


def test_the_table_is_what_the_policies_allow(release: list[Object]) -> None:
    allowed, told = matrix(release), documented()
    assert sorted(allowed - told) == []
    assert sorted(told - allowed) == []


@pytest.mark.parametrize("missing", ["default", "api", "postgres"])
def test_a_policy_that_is_missing_is_seen(release: list[Object], missing: str) -> None:
    rest = [
        one for one in release if (one["kind"], one["metadata"]["name"]) != ("NetworkPolicy", f"corepoint-{missing}")
    ]
    assert len(rest) == len(release) - 1
    assert matrix(rest) != documented()


def test_no_configuration_allows_more_between_its_pods(rendered: list[Object]) -> None:
    inside = {row for row in matrix(rendered) if row[1] not in PLACES}
    assert inside - documented() == set()


def test_every_pod_is_isolated_both_ways(rendered: list[Object]) -> None:
    policies = Policies.from_objects(rendered, NAMESPACE)
    for role, pod in roles(rendered).items():
        assert policies.isolated(pod, "Ingress"), role
        assert policies.isolated(pod, "Egress"), role


def test_nobody_reaches_the_metadata_service_or_the_internet(release: list[Object]) -> None:
    assert {row for row in matrix(release) if row[1] in {"metadata service", "internet", "other pods"}} == set()


def test_the_metadata_service_is_no_part_of_everywhere(rendered: list[Object]) -> None:
    """The defaults of servers of one's own are all addresses; these are not among them."""
    policies = Policies.from_objects(rendered, NAMESPACE)
    for role, pod in roles(rendered).items():
        assert not [port for port in (53, 80, 443) if policies.allows(pod, PLACES["metadata service"], port)], role


def test_the_public_api_is_open_to_load_balancers_and_the_api_servers_metrics_too(release: list[Object]) -> None:
    policies, pods = Policies.from_objects(release, NAMESPACE), roles(release)
    balancer = External("203.0.113.5")
    reached = {
        (role, port) for role, pod in pods.items() for port in ports(release) if policies.allows(balancer, pod, port)
    }
    assert reached == {("api", 8787), ("metrics", 9443)}


def ports(release: list[Object]) -> set[int]:
    return {port for pod in roles(release).values() for port in pod.ports.values()}

"""Policies decide as the NetworkPolicy API says they do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.reachability import External, Pod, Policies, matches

API, WORKER, DATABASE = {"app": "api"}, {"app": "worker"}, {"app": "database"}


def policy(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"kind": "NetworkPolicy", "metadata": {"name": name}, "spec": {"podSelector": {}, **spec}}


def to(labels: dict[str, str], *ports: Any) -> dict[str, Any]:
    return {"to": [{"podSelector": {"matchLabels": labels}}], "ports": [{"port": port} for port in ports]}


def of(labels: dict[str, str], *ports: Any) -> dict[str, Any]:
    return {"from": [{"podSelector": {"matchLabels": labels}}], "ports": [{"port": port} for port in ports]}


DENY = policy("deny", policyTypes=["Ingress", "Egress"])
OUT = policy("out", podSelector={"matchLabels": WORKER}, policyTypes=["Egress"], egress=[to(API, 80)])
IN = policy("in", podSelector={"matchLabels": API}, policyTypes=["Ingress"], ingress=[of(WORKER, 80)])


def test_without_policies_everything_is_open() -> None:
    assert Policies.from_objects([]).allows(WORKER, DATABASE, 5432)


def test_both_sides_have_to_allow() -> None:
    assert not Policies.from_objects([DENY]).allows(WORKER, API, 80)
    assert not Policies.from_objects([DENY, OUT]).allows(WORKER, API, 80)
    assert not Policies.from_objects([DENY, IN]).allows(WORKER, API, 80)
    assert Policies.from_objects([DENY, OUT, IN]).allows(WORKER, API, 80)


def test_a_direction_ports_and_protocols_are_as_given() -> None:
    policies = Policies.from_objects([DENY, OUT, IN])
    assert not policies.allows(API, WORKER, 80)
    assert not policies.allows(WORKER, API, 81)
    assert not policies.allows(WORKER, API, 80, "UDP")
    assert not policies.allows(DATABASE, API, 80)


def test_ingress_alone_leaves_egress_open() -> None:
    policies = Policies.from_objects([IN])
    assert policies.allows(API, DATABASE, 5432)
    assert not policies.allows(DATABASE, API, 80)
    assert policies.isolated(API, "Ingress")
    assert not policies.isolated(API, "Egress")


def test_missing_policy_types_are_those_the_api_server_fills_in() -> None:
    quiet = policy("quiet", podSelector={"matchLabels": API})
    assert Policies.from_objects([quiet]).isolated(API, "Ingress")
    assert not Policies.from_objects([quiet]).isolated(API, "Egress")
    assert Policies.from_objects([policy("out", egress=[])]).isolated(API, "Egress")


def test_an_empty_rule_lets_everyone_in_and_no_rule_nobody() -> None:
    everyone = policy("all", podSelector={"matchLabels": API}, policyTypes=["Ingress"], ingress=[{}])
    assert Policies.from_objects([everyone]).allows(External("8.8.8.8"), API, 1)
    assert not Policies.from_objects([DENY]).allows(External("8.8.8.8"), API, 1)


def test_a_port_may_have_a_name_or_a_range() -> None:
    named = policy("in", podSelector={"matchLabels": API}, policyTypes=["Ingress"], ingress=[of(WORKER, "http")])
    api = Pod(API, ports={"http": 8787})
    assert Policies.from_objects([named]).allows(WORKER, api, 8787)
    assert not Policies.from_objects([named]).allows(WORKER, api, 80)
    assert not Policies.from_objects([named]).allows(WORKER, API, 8787)
    some = policy("r", policyTypes=["Ingress"], ingress=[{"ports": [{"port": 10, "endPort": 20}]}])
    allowed = [port for port in (9, 10, 20, 21) if Policies.from_objects([some]).allows(API, WORKER, port)]
    assert allowed == [10, 20]


def test_a_pod_selector_alone_means_the_same_namespace() -> None:
    elsewhere = Pod(WORKER, namespace="elsewhere")
    assert not Policies.from_objects([IN]).allows(elsewhere, API, 80)
    anywhere = policy(
        policyTypes=["Ingress"], ingress=[{"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": WORKER}}]}]
    )
    assert Policies.from_objects([anywhere]).allows(elsewhere, API, 80)
    assert not Policies.from_objects([anywhere]).allows(Pod(API, namespace="elsewhere"), API, 80)


def test_a_namespace_is_found_by_its_name_and_labels() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    policies = Policies.from_objects([policy(policyTypes=["Egress"], egress=[{"to": [peer]}])])
    assert policies.allows(API, Pod({}, namespace="kube-system"), 53)
    assert not policies.allows(API, Pod({}, namespace="other"), 53)
    peer["namespaceSelector"]["matchLabels"] = {"team": "a"}
    assert policies.allows(API, Pod({}, namespace="other", namespace_labels={"team": "a"}), 53)


def test_policies_of_other_namespaces_say_nothing() -> None:
    other = policy("deny", policyTypes=["Ingress", "Egress"])
    other["metadata"]["namespace"] = "other"
    assert Policies.from_objects([other]).allows(WORKER, API, 80)


def test_addresses_are_matched_by_blocks_alone() -> None:
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    policies = Policies.from_objects([policy(policyTypes=["Egress"], egress=[{"to": [block]}])])
    assert policies.allows(API, External("10.0.0.1"), 443)
    assert not policies.allows(API, External("10.1.0.1"), 443)
    assert not policies.allows(API, External("11.0.0.1"), 443)
    assert not policies.allows(API, External("fd00::1"), 443)
    assert not policies.allows(API, WORKER, 443)
    assert policies.allows(API, Pod(WORKER, address="10.0.0.1"), 443)


@pytest.mark.parametrize(
    ("expression", "selects"),
    [
        ({"key": "app", "operator": "In", "values": ["api", "x"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["api"]}, False),
        ({"key": "other", "operator": "NotIn", "values": ["api"]}, True),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
    ],
)
def test_expressions_select(expression: dict[str, Any], selects: bool) -> None:
    assert matches({"matchExpressions": [expression]}, API) is selects


def test_a_running_pod_brings_its_own_names_and_address() -> None:
    pod = Pod.from_object(
        {
            "metadata": {"labels": API, "namespace": "n"},
            "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8787}, {"containerPort": 1}]}]},
            "status": {"podIP": "10.0.0.1"},
        }
    )
    assert pod == Pod(API, namespace="n", ports={"http": 8787}, address="10.0.0.1")

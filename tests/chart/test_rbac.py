"""Rights are those of the golden file: a change of them is seen in review."""

from __future__ import annotations

import difflib

from tests.chart.rendering import Object, objects
from tests.chart.rights import GOLDEN, golden, rules
from tests.chart.workloads import of_kind, workloads

CLUSTER_WIDE = ("ClusterRole", "ClusterRoleBinding", "APIService")


def test_rights_are_those_of_the_golden_file() -> None:
    found, wanted = golden().splitlines(), GOLDEN.read_text().splitlines()
    assert list(difflib.unified_diff(wanted, found, "golden/rbac.yaml", "rendered", lineterm="")) == []


def test_nobody_reads_secrets_and_no_rule_has_a_wildcard(rendered: list[Object]) -> None:
    for rule in rules(rendered):
        words = [word for values in rule.values() for word in values]
        assert "*" not in words
        assert "secrets" not in rule.get("resources", [])
        assert not {"impersonate", "bind", "escalate"} & set(rule["verbs"])
        assert not {"pods/exec", "pods/attach", "serviceaccounts/token"} & set(rule.get("resources", []))


def test_nothing_is_cluster_wide_without_the_builtin_metrics() -> None:
    for source in ("resource", "keda", "external"):
        rendered = objects("defaults", f"--set=autoscaling.source={source}")
        assert [one["metadata"]["name"] for one in of_kind(rendered, *CLUSTER_WIDE)] == []
        assert {one["metadata"].get("namespace", "corepoint") for one in rendered} == {"corepoint"}


def test_what_is_cluster_wide_is_what_the_aggregator_needs() -> None:
    rendered = objects("defaults", "--set=autoscaling.source=builtin")
    elsewhere = [one for one in rendered if one["metadata"].get("namespace", "corepoint") != "corepoint"]
    assert [(one["kind"], one["metadata"]["namespace"]) for one in elsewhere] == [("RoleBinding", "kube-system")]
    assert elsewhere[0]["roleRef"]["name"] == "extension-apiserver-authentication-reader"
    assert [one["metadata"]["name"] for one in of_kind(rendered, "APIService")] == ["v1beta1.external.metrics.k8s.io"]


def test_every_binding_is_of_an_account_and_a_role_that_are_there(rendered: list[Object]) -> None:
    accounts = {one["metadata"]["name"] for one in of_kind(rendered, "ServiceAccount")}
    roles = {(one["kind"], one["metadata"]["name"]) for one in of_kind(rendered, "Role", "ClusterRole")}
    for binding in of_kind(rendered, "RoleBinding", "ClusterRoleBinding"):
        for subject in binding["subjects"]:
            assert subject["kind"] == "ServiceAccount"
            assert subject["name"] in accounts
            assert subject["namespace"] == "corepoint"
        if binding["metadata"].get("namespace", "corepoint") == "corepoint":
            assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in roles


def test_rights_are_of_accounts_whose_pods_have_a_token(rendered: list[Object]) -> None:
    bound = {
        subject["name"] for one in of_kind(rendered, "RoleBinding", "ClusterRoleBinding") for subject in one["subjects"]
    }
    for one in workloads(rendered):
        assert (one.spec["serviceAccountName"] in bound) is one.spec["automountServiceAccountToken"], str(one)

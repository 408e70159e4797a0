"""Real helm renders the chart; the programs that check manifests find nothing."""

from __future__ import annotations

import base64
import json
import re
from typing import NamedTuple

import pytest

from tests.chart.checkers import SCHEMAS, critical, refused
from tests.chart.rendering import CONFIGURATIONS, KUBERNETES, Object, lint, manifest, notes, objects
from tests.chart.rules import pods, relations


class Accepted(NamedTuple):
    objects: str  # a pattern of the names of all objects it is accepted for
    reason: str


# kube-score's critical checks that are not met.
ACCEPTED = {
    "container-image-pull-policy": Accepted(
        ".*", "tags are fixed and may be digests; Always would need the registry whenever a worker starts"
    ),
    "container-security-context-user-group-id": Accepted(
        "corepoint-postgres", "999 is the user that PostgreSQL's image has; postgres.uid changes it"
    ),
    "networkpolicy-targets-pod": Accepted(
        "corepoint-(spark-driver|spark-executor|trial)", "their pods are made while the release runs"
    ),
    "pod-probes-identical": Accepted(
        "corepoint-(dispatcher|mlflow|pods-worker|worker-.*)",
        "nothing is sent to these for which they could be alive and not ready; the periods differ",
    ),
}


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_lint_is_strict(configuration: str, helm: str) -> None:
    assert "0 chart(s) failed" in lint(configuration, helm)


def test_helm_3_and_helm_4_render_the_same(configuration: str) -> None:
    assert comparable(objects(configuration, helm="helm4")) == comparable(objects(configuration, helm="helm3"))


def comparable(rendered: list[Object]) -> list[str]:
    """In any order, and without what is made anew by each rendering: generated secrets and what is made of them."""
    for found in rendered:
        if found["kind"] == "Secret":
            found["data"] = sorted(found.get("data", {}))
        if found["kind"] == "APIService":
            assert base64.b64decode(found["spec"]["caBundle"]).startswith(b"-----BEGIN CERTIFICATE")
            found["spec"]["caBundle"] = ""
        annotations = found.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations", {})
        for name in {"checksum/secret", "checksum/tls"} & set(annotations):
            annotations[name] = ""
    return sorted(json.dumps(found, sort_keys=True) for found in rendered)


def test_schemas_are_of_the_version_that_is_rendered_for() -> None:
    definitions = json.loads((SCHEMAS / "_definitions.json").read_text())
    assert definitions["$comment"] == f"Kubernetes v{KUBERNETES}"


def test_every_object_is_one_the_api_server_takes(configuration: str) -> None:
    assert refused(manifest(configuration)) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("readinessProbe:", "readynessProbe:", "readynessProbe"),
        ("targetPort:", "targetPrt:", "targetPrt"),
        ("kind: Deployment", "kind: Deploiment", "could not find schema"),
        ("policyTypes: [Ingress", "policyTypes: [Inside", "value must be one of"),
    ],
)
def test_a_misspelt_manifest_is_found(old: str, new: str, message: str) -> None:
    found = refused(manifest("defaults").replace(old, new))
    assert found
    assert all(message in text for text in found)


def test_kube_score_finds_nothing_critical(configuration: str) -> None:
    assert [
        finding
        for finding in critical(configuration)
        if finding.check not in ACCEPTED or not re.fullmatch(ACCEPTED[finding.check].objects, finding.object)
    ] == []


def test_every_accepted_finding_is_still_there() -> None:
    assert set(ACCEPTED) == {finding.check for name in CONFIGURATIONS for finding in critical(name)}


# Names of parts that are made of the release's.
PART = (
    r"corepoint-(api|dispatcher|metrics|prefect|postgres|minio|mlflow|worker|pods-worker|spark|config|secrets|test)\b"
)


def test_names_are_made_of_the_release() -> None:
    """Two releases can share a namespace: nothing of one is named without its release."""
    rendered = objects("defaults", "--set=podIsolation.enabled=true", release="bench")
    for rule in (relations.selectors, relations.disruption_budgets, pods.service_accounts):
        assert list(rule(rendered)) == []
    for one in rendered:
        assert one["metadata"]["name"].startswith("bench-corepoint") or one["kind"] == "APIService"
        assert re.findall(rf"(?<!bench-){PART}", json.dumps(one)) == [], one["metadata"]["name"]


def test_notes_say_what_to_do_next(configuration: str) -> None:
    text = notes(configuration)
    assert "<no value>" not in text
    for command in ("kubectl", "corepoint create", "port-forward"):
        assert command in text

"""Pods that are made while a release runs keep to the rules of those it renders."""

from __future__ import annotations

import json

import pytest

from tests.chart.checkers import refused
from tests.chart.made_later import application, spark_pods, trial_job
from tests.chart.rendering import Object, objects
from tests.chart.rules import pods, relations
from tests.chart.test_rules import Rule
from tests.chart.workloads import COMPONENT, QUEUE, environment, of_kind, workloads
from workers.settings import WorkerSettings

RULES: tuple[Rule, ...] = (
    pods.restricted_pods,
    pods.restricted_containers,
    pods.images,
    pods.tokens,
    pods.environments,
    pods.volumes,
)


@pytest.fixture
def release() -> list[Object]:
    return objects("defaults", "--set=spark.submitter=operator", "--set=podIsolation.enabled=true")


@pytest.fixture
def spark(release: list[Object], monkeypatch: pytest.MonkeyPatch) -> Object:
    """The application that the worker of the release makes, with the settings it has there."""
    worker = next(one for one in workloads(release) if one.labels.get(QUEUE) == "spark")
    for name, value in environment(worker.containers[0], release).items():
        monkeypatch.setenv(name, value)
    return application(WorkerSettings())


@pytest.mark.parametrize("rule", [*RULES, pods.resources, pods.service_links])
def test_a_trials_job_keeps_to_the_rules(rule: Rule) -> None:
    assert list(rule([trial_job()])) == []


def test_a_trials_job_is_one_the_api_server_takes() -> None:
    assert refused(json.dumps(trial_job())) == []


@pytest.mark.parametrize("rule", RULES)
def test_sparks_pods_keep_to_the_rules(rule: Rule, spark: Object) -> None:
    assert list(rule(spark_pods(spark))) == []


def test_an_application_is_one_the_operator_takes(spark: Object) -> None:
    assert refused(json.dumps(spark)) == []


def test_what_they_name_is_of_the_release(release: list[Object], spark: Object) -> None:
    made = [*spark_pods(spark), trial_job()]
    held = [one for one in release if one["kind"] in {"ConfigMap", "Secret", "ServiceAccount"}]
    assert list(relations.references(made + held)) == []
    assert list(pods.service_accounts(made + held)) == []


def test_they_have_the_labels_that_policies_and_people_look_for(release: list[Object], spark: Object) -> None:
    for one in workloads([*spark_pods(spark), trial_job()]):
        wanted = {"experiment", "run", "batch", "attempt"} if one.component == "trial" else {"run", "batch", "attempt"}
        assert {f"corepoint.io/{name}" for name in wanted} <= set(one.labels), str(one)
        assert one.labels["app.kubernetes.io/part-of"] == "corepoint"
        assert any(
            one.labels.get(COMPONENT) == policy["spec"]["podSelector"].get("matchLabels", {}).get(COMPONENT)
            for policy in of_kind(release, "NetworkPolicy")
        ), str(one)

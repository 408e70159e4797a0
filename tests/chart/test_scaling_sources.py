"""`autoscaling.source` says who knows the demand; each way is rendered alone."""

from __future__ import annotations

import pytest

from app.contracts.states import QueueName
from tests.chart.rendering import objects
from tests.chart.rules import scaling
from tests.chart.workloads import of_kind, workloads


@pytest.mark.parametrize("source", ["builtin", "external"])
def test_the_demand_is_an_external_metric(source: str) -> None:
    rendered = objects("defaults", f"--set=autoscaling.source={source}")
    assert list(scaling.demand(rendered)) == []
    assert len(of_kind(rendered, "APIService")) == (source == "builtin")
    assert of_kind(rendered, "ScaledObject") == []


def test_keda_asks_our_metrics_itself() -> None:
    rendered = objects("defaults", "--set=autoscaling.source=keda")
    assert of_kind(rendered, "HorizontalPodAutoscaler", "APIService") == []
    targets = {one["spec"]["scaleTargetRef"]["name"]: one["spec"] for one in of_kind(rendered, "ScaledObject")}
    assert set(targets) == {f"corepoint-worker-{queue}" for queue in QueueName}
    for queue in QueueName:
        asked = targets[f"corepoint-worker-{queue}"]["triggers"][0]["metadata"]
        assert asked["url"] == f"http://corepoint-metrics.corepoint:9090/queues/{queue}"
    assert list(scaling.replicas(rendered)) == []


def test_resource_asks_for_cpu_alone() -> None:
    rendered = objects("defaults", "--set=autoscaling.source=resource")
    for one in of_kind(rendered, "HorizontalPodAutoscaler"):
        assert [metric["type"] for metric in one["spec"]["metrics"]] == ["Resource"]
    assert of_kind(rendered, "APIService", "ScaledObject") == []


def test_without_autoscaling_the_number_is_the_users() -> None:
    rendered = objects("defaults", "--set=workers.autoscaling.enabled=false", "--set=workers.replicas=3")
    assert of_kind(rendered, *scaling.SCALERS) == []
    made = [one for one in workloads(rendered) if one.component == "worker"]
    assert {one.owner["spec"]["replicas"] for one in made} == {3}


def test_metrics_without_the_builtin_server_listen_for_prometheus_alone() -> None:
    metrics = next(
        one for one in workloads(objects("defaults", "--set=autoscaling.source=resource")) if one.component == "metrics"
    )
    assert {port["containerPort"] for port in metrics.containers[0]["ports"]} == {9090}

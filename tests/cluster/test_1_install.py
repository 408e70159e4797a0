"""`helm install` with the laptop profile: everything is ready, restricted, scaled by its queue, and passes its test."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.installation import NAMESPACE, RELEASE, Installation

COMPONENTS = {"api", "dispatcher", "metrics", "prefect", "postgres", "minio", "mlflow", "worker", "pods-worker"}
QUEUES = {"default", "high-memory", "priority", "spark"}


def test_everything_is_ready(installation: Installation) -> None:
    pods = installation.wait_until_ready()
    labels = [pod["metadata"]["labels"] for pod in pods]
    assert {label["app.kubernetes.io/component"] for label in labels} == COMPONENTS
    assert {label["corepoint.io/queue"] for label in labels if "corepoint.io/queue" in label} == QUEUES


def test_the_namespace_enforces_the_restricted_profile(installation: Installation) -> None:
    labels = installation.kube.object("namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    # The check can fail: a pod that may do more is refused.
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        installation.kube.run("run", "loose", "--image=localhost/corepoint/api:dev")


def test_each_queue_has_an_autoscaler_that_reads_its_demand(installation: Installation) -> None:
    scalers = installation.kube.objects("hpa")
    assert {scaler["metadata"]["name"] for scaler in scalers} == {f"{RELEASE}-worker-{queue}" for queue in QUEUES}
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/corepoint_queue_demand"
    found: dict[str, Any] = installation.kube.raw(f"{path}?labelSelector=queue%3Ddefault")
    assert [item["metricLabels"]["queue"] for item in found["items"]] == ["default"]


def test_nobody_reads_the_metric_past_the_api_server(installation: Installation) -> None:
    """Its port asks for the API server's own certificate."""
    from ssl import CERT_NONE, SSLError, create_default_context
    from urllib.error import URLError
    from urllib.request import urlopen

    context = create_default_context()
    context.check_hostname, context.verify_mode = False, CERT_NONE
    with installation.kube.forwarded("svc/corepoint-metrics", 443) as address:
        url = address.replace("http:", "https:") + "/apis/external.metrics.k8s.io/v1beta1"
        try:
            with urlopen(url, timeout=10, context=context) as response:  # noqa: S310 - a forwarded port
                status = response.status
        except (SSLError, URLError, ConnectionError) as error:
            status = getattr(error, "code", 0)
    assert status in {0, 401, 403}


def test_helm_test_submits_an_experiment_and_reads_its_result(installation: Installation) -> None:
    said = installation.kube.helm("test", RELEASE, "--timeout", "6m")
    assert "Phase:          Succeeded" in said

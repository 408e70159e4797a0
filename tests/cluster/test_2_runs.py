"""Experiments from outside the cluster: routed to their queues, measured in pods and on Spark, found in every store."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.cluster import documents
from tests.cluster.installation import NAMESPACE, Installation, object_store
from tests.cluster.kube import wait_for


@pytest.fixture(scope="module")
def three_ways(installation: Installation) -> str:
    """The run of sequential, parallel and Spark trials, ended."""
    installation.create(documents.THREE_WAYS)
    run_id = installation.latest_run("three-ways")
    ended = installation.ended(run_id, 420)
    assert ended["state"] == "succeeded", installation.items(f"/v1/runs/{run_id}/trials")
    return run_id


def trials(installation: Installation, run_id: str) -> dict[str, dict[str, Any]]:
    return {trial["label"]: trial for trial in installation.items(f"/v1/runs/{run_id}/trials")}


def test_each_trial_is_routed_and_says_why(installation: Installation, three_ways: str) -> None:
    found = trials(installation, three_ways)
    assert {label: trial["queue"] for label, trial in found.items()} == {
        "sequential": "default", "parallel": "default", "spark": "spark",
    }  # fmt: skip
    assert re.fullmatch(r"estimated \S+ [KMG]iB ≤ \S+ [MG]iB of default", found["sequential"]["routing"])
    assert found["spark"]["routing"] == "runs on Spark"


def test_labels_are_identical_across_the_three(installation: Installation, three_ways: str) -> None:
    comparison = installation.get(f"/v1/runs/{three_ways}/comparison")
    verdicts = {entry["label"]: entry["verdict"] for group in comparison["groups"] for entry in group["entries"]}
    assert verdicts == {"sequential": None, "parallel": "identical", "spark": "identical"}


def test_spark_ran_in_pods_of_its_own(installation: Installation, three_ways: str) -> None:
    messages = [event["message"] for event in installation.events(three_ways, "spark_executors")]
    assert messages
    assert all(re.search(r"batch-\S+-exec-\d+", message) for message in messages), messages


def test_a_large_estimate_goes_to_high_memory(installation: Installation) -> None:
    installation.create(documents.LARGE)
    run_id = installation.latest_run("large")
    ended = installation.ended(run_id, 300)
    found = trials(installation, run_id)["sklearn-dbscan"]
    assert (ended["state"], found["queue"]) == ("succeeded", "high-memory"), found
    assert re.match(r"estimated \S+ GiB > \S+ GiB of default, fits high-memory", found["routing"])
    worker = installation.items(f"/v1/runs/{run_id}/batches")[0]["worker"]
    assert worker.startswith("corepoint-worker-high-memory-")


def test_isolation_gives_a_trial_a_pod_of_its_own(installation: Installation) -> None:
    installation.create(documents.ISOLATED)
    run_id = installation.latest_run("isolated")
    assert installation.ended(run_id, 300)["state"] == "succeeded"
    batch = installation.items(f"/v1/runs/{run_id}/batches")[0]
    pods = installation.kube.objects("pods", f"corepoint.io/batch={batch['id']}")
    resources = pods[0]["spec"]["containers"][0]["resources"]
    assert resources["requests"] == resources["limits"]
    memory = trials(installation, run_id)["sequential"]["memory"]
    assert memory["method"].startswith("cgroup"), memory


def test_objects_are_in_minio(installation: Installation, three_ways: str) -> None:
    with object_store(installation) as store:
        keys = set(store.keys(f"runs/{three_ways}/"))
    manifests = {trial["manifest_key"] for trial in trials(installation, three_ways).values()}
    assert len(manifests) == 3
    assert manifests <= keys
    assert sum(key.endswith("labels.parquet") for key in keys) == 3


def test_runs_are_in_mlflow(installation: Installation, three_ways: str) -> None:
    """MLflow's own REST API says so."""

    def mirrored() -> list[dict[str, Any]]:
        asked = f"{address}/api/2.0/mlflow"
        experiments = httpx.post(f"{asked}/experiments/search", json={"max_results": 100}, timeout=30).json()
        ids = [one["experiment_id"] for one in experiments["experiments"] if one["name"] == "three-ways"]
        found = httpx.post(f"{asked}/runs/search", json={"experiment_ids": ids}, timeout=30).json().get("runs", [])
        return found if len(found) == 3 else []

    with installation.kube.forwarded("svc/corepoint-mlflow", 5000) as address:
        runs = wait_for(mirrored, 90, "three runs")
    tags = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs]
    assert {tag["corepoint.run_id"] for tag in tags} == {three_ways}


def test_rows_are_in_postgresql(installation: Installation, three_ways: str) -> None:
    query = f"select state, count(*) from trial where run_id = '{three_ways}' group by state"  # noqa: S608 - our own id
    command = f'psql -h 127.0.0.1 -U postgres -d corepoint -tAc "{query}"'
    said = installation.kube.run(
        "exec", "corepoint-postgres-0", "--", "sh", "-c", f'PGPASSWORD="$POSTGRES_PASSWORD" {command}'
    )
    assert said.strip() == "succeeded|3"


def test_prefect_has_a_deployment_for_each_queue(installation: Installation, three_ways: str) -> None:
    user, _, password = installation.kube.secret("corepoint-secrets", "prefect-auth-string").partition(":")
    with installation.kube.forwarded("svc/corepoint-prefect", 4200) as address:
        asked = f"{address}/api/deployments/filter"
        assert httpx.post(asked, json={}, timeout=30).status_code == 401
        found = httpx.post(asked, json={}, auth=(user, password), timeout=30).json()
    queues = {one["name"]: one["work_queue_name"] for one in found if one["name"].startswith("three-ways.")}
    assert queues == {"three-ways.default": "default", "three-ways.spark": "spark"}


def test_secrets_are_in_no_manifest_of_a_running_pod(installation: Installation) -> None:
    """Not in the pods of the release, and not in those that Prefect and Spark make."""
    secrets = installation.kube.object("secret", "corepoint-secrets")["data"]
    import base64

    values = [base64.b64decode(value).decode() for value in secrets.values()]
    kinds = "pods,configmaps,jobs,deployments,sparkapplications"
    manifests = installation.kube.run("get", kinds, "-o", "json")
    assert NAMESPACE in manifests
    assert not [value for value in values if len(value) > 8 and value in manifests]

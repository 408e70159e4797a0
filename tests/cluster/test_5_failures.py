"""What goes wrong in a cluster, done on purpose: each run says the right reason and what to do; the rest goes on."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.contracts.failures import HINTS, FailureCode
from app.domain.isolation import sample_limit
from tests.cluster import documents
from tests.cluster.installation import NAMESPACE, Installation
from tests.cluster.kube import wait_for
from tests.cluster.progress import samples_by_attempt, under_way

WITHIN_SECONDS = 240
CANCELLED_WITHIN_SECONDS = 10
NO_IMAGE = "localhost/corepoint/no-such-image:dev"
OF_A_BATCH = "pods,jobs,sparkapplications"

# Memory that belongs to no process's own, so that the kernel chooses by the score alone: the process that reaps, whose
# end is the container's. It is what happens to whoever is largest when a fit outruns the watchdog.
TAKE_ALL_MEMORY = """
import os
with open("/proc/1/oom_score_adj", "w") as score:
    score.write("1000")
held = os.memfd_create("held")
block = bytes(64 << 20)
while True:
    os.write(held, block)
"""
FILL_TMP = "with open('/tmp/full', 'wb') as full:\n    for _ in range(320): full.write(bytes(1 << 20))"


@pytest.fixture(scope="module")
def pair(installation: Installation) -> str:
    """Two trials in one batch on `default`, long enough to be disturbed."""
    installation.create(documents.LONG.replace("name: long", "name: disturbed"), "--no-run")
    installation.command("wait", "dataset/many", "--timeout", "180s")
    return "disturbed"


@pytest.fixture(scope="module")
def on_spark(installation: Installation, pair: str) -> str:
    installation.create(documents.ON_SPARK, "--no-run")
    return "on-spark"


def trials(installation: Installation, run_id: str) -> dict[str, dict[str, Any]]:
    return {trial["label"]: trial for trial in installation.items(f"/v1/runs/{run_id}/trials")}


def told(installation: Installation, run_id: str, kind: str) -> dict[str, Any]:
    """The one event of this kind."""
    found = installation.events(run_id, kind)
    assert len(found) == 1, installation.events(run_id)
    return found[0]


def evictions(installation: Installation, run_id: str) -> list[dict[str, Any]]:
    kinds = ("worker_disrupted", "batch_lost")
    found = [event for kind in kinds for event in installation.events(run_id, kind)]
    return [event for event in found if event["data"]["code"] == "evicted"]


def driver_of(installation: Installation, run_id: str) -> dict[str, Any] | None:
    running = [pod for pod in spark_pods(installation, run_id, "driver") if pod["status"].get("phase") == "Running"]
    return running[0] if running else None


def spark_pods(installation: Installation, run_id: str, role: str) -> list[dict[str, Any]]:
    return installation.kube.objects("pods", f"corepoint.io/run={run_id},spark-role={role}")


def rounds_saved(installation: Installation, run_id: str) -> int:
    batches = installation.items(f"/v1/runs/{run_id}/batches")
    found = [batch["progress"]["round"] for batch in batches if batch["queue"] == "spark" and batch["progress"]]
    return max(found, default=0)


def test_an_eviction_is_told_while_the_worker_gives_its_batch_back(installation: Installation, pair: str) -> None:
    run_id = installation.start_run(pair)
    worker = under_way(installation, run_id, 5)["worker"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": worker, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{worker}/eviction"
    installation.kube.run("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    assert installation.ended(run_id, WITHIN_SECONDS)["state"] == "succeeded"
    event = told(installation, run_id, "worker_disrupted")
    assert f"its pod {worker} is being taken away: evicted through the API" in event["message"]
    assert (event["data"]["code"], event["data"]["hint"]) == ("evicted", HINTS[FailureCode.EVICTED])
    assert len(installation.events(run_id, "batch_released")) == 1


@pytest.mark.usefixtures("pair")
def test_an_eviction_by_the_node_is_told(installation: Installation) -> None:
    """A full disk: here the worker's /tmp, which has a limit. The worker has two seconds to give its batch back."""
    installation.create(documents.LONGER, "--no-run")
    run_id = installation.start_run("longer")
    worker = under_way(installation, run_id, 5)["worker"]
    installation.kube.run("exec", worker, "--", "python", "-c", FILL_TMP)
    wait_for(lambda: evictions(installation, run_id), WITHIN_SECONDS, "the eviction to be told")
    wait_for(lambda: len(installation.events(run_id, "batch_claimed")) == 2, WITHIN_SECONDS, "another worker")
    installation.post(f"/v1/runs/{run_id}/cancel")
    installation.kube.run("delete", "pod", worker, "--ignore-not-found")
    for event in evictions(installation, run_id):
        assert worker in event["message"]
        # The node's words stand in the status of a pod that did not end by itself within those two seconds.
        assert re.search(r"evicted by its node(: Usage of EmptyDir volume|, whose events say why)", event["message"])
        assert event["data"]["hint"] == HINTS[FailureCode.EVICTED]


def test_a_trial_that_takes_its_workers_memory_moves_on_and_the_other_goes_on(
    installation: Installation, pair: str
) -> None:
    run_id = installation.start_run(pair)
    batch = under_way(installation, run_id, 3)
    installation.kube.run("exec", batch["worker"], "--", "python", "-c", TAKE_ALL_MEMORY, check=False)
    assert installation.ended(run_id, WITHIN_SECONDS)["state"] == "succeeded"
    event = told(installation, run_id, "trial_oom_killed")
    assert "killed by the kernel (OOMKilled) at its memory limit of 3.0 GiB" in event["message"]
    assert (event["data"]["code"], event["data"]["hint"]) == ("oom_killed", HINTS[FailureCode.OOM_KILLED])
    found = trials(installation, run_id)
    assert sorted(trial["queue"] for trial in found.values()) == ["default", "high-memory"]
    (moved,) = [trial for trial in found.values() if trial["queue"] == "high-memory"]
    assert moved["id"] == event["data"]["trial_id"]
    assert moved["routing"] == "was killed by the kernel at the memory limit of default, tried once on high-memory"


def test_a_pod_that_no_node_can_hold_is_told_and_ends_its_trial_alone(installation: Installation) -> None:
    """The queue allows 64 GiB (values.yaml); no node of these tests has them."""
    installation.create(documents.VAST)
    run_id = installation.latest_run("vast")
    assert installation.ended(run_id, WITHIN_SECONDS)["state"] == "partial"
    event = told(installation, run_id, "pod_waits")
    assert "without a node: 0/1 nodes are available" in event["message"]
    assert "Insufficient memory" in event["message"]
    by_dataset = {trial["dataset"]: trial for trial in installation.items(f"/v1/runs/{run_id}/trials")}
    failure = by_dataset["vast"]["failure"]
    assert (failure["code"], failure["hint"]) == ("unschedulable", event["data"]["hint"])
    assert "did not start in 45 s" in failure["message"]
    assert by_dataset["held"]["state"] == "succeeded"
    jobs = f"corepoint.io/batch={by_dataset['vast']['batch_id']}"
    wait_for(lambda: not installation.kube.objects("jobs,pods", jobs), 30, "its Job to go")


def test_an_isolated_pod_is_made_for_its_estimate_and_measures_itself(installation: Installation) -> None:
    run_id = installation.latest_run("vast")
    (trial,) = [one for one in installation.items(f"/v1/runs/{run_id}/trials") if one["dataset"] == "held"]
    (pod,) = installation.kube.objects("pods", f"corepoint.io/batch={trial['batch_id']}")
    resources = pod["spec"]["containers"][0]["resources"]
    sample = sample_limit(trial["predicted_bytes"], None, 64 << 30)
    assert resources["requests"] == resources["limits"]
    assert resources["limits"]["memory"] == str(sample + (512 << 20))
    assert pod["status"]["qosClass"] == "Guaranteed"
    memory = trial["memory"]
    assert memory["method"] in {"cgroup-peak-v2", "cgroup-peak-v1"}
    assert memory["baseline_bytes"] < memory["peak_bytes"] < sample + (512 << 20)


@pytest.fixture
def without_its_image(installation: Installation) -> Iterator[None]:
    """The worker of `spark` asks for an image that nobody has."""
    deployment = "deployment/corepoint-worker-spark"
    kube = installation.kube
    kube.run("set", "env", deployment, f"COREPOINT_SPARK__IMAGE={NO_IMAGE}")
    kube.run("rollout", "status", deployment, "--timeout=120s", seconds=130)
    yield
    kube.run("rollout", "undo", deployment)
    kube.run("rollout", "status", deployment, "--timeout=120s", seconds=130)


@pytest.mark.usefixtures("without_its_image")
def test_an_image_that_cannot_be_had_is_told_and_the_other_queue_goes_on(
    installation: Installation, on_spark: str
) -> None:
    run_id = installation.start_run(on_spark)
    assert installation.ended(run_id, WITHIN_SECONDS)["state"] == "partial"
    found = trials(installation, run_id)
    failure = found["spark"]["failure"]
    assert (failure["code"], failure["hint"]) == ("image_pull", HINTS[FailureCode.IMAGE_PULL])
    assert NO_IMAGE in failure["message"]
    assert found["sequential"]["state"] == "succeeded"
    assert "image_pull" in told(installation, run_id, "spark_waits")["message"]


def test_an_executor_that_is_lost_is_told_and_spark_goes_on(installation: Installation, on_spark: str) -> None:
    run_id = installation.start_run(on_spark)
    wait_for(lambda: rounds_saved(installation, run_id) >= 1, WITHIN_SECONDS, "a saved round")
    running = [
        pod["metadata"]["name"]
        for pod in spark_pods(installation, run_id, "executor")
        if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]
    installation.kube.run("delete", "pod", running[-1], "--grace-period=0", "--force")
    assert installation.ended(run_id, WITHIN_SECONDS)["state"] == "succeeded"
    event = told(installation, run_id, "spark_executor_lost")
    assert f"executor {running[-1]} was lost: its pod is" in event["message"]
    assert len([one for one in installation.events(run_id, "batch_claimed") if "spark" in one["message"]]) == 1


def test_a_driver_that_is_killed_is_told_and_the_next_attempt_goes_on(
    installation: Installation, on_spark: str
) -> None:
    run_id = installation.start_run(on_spark)
    wait_for(lambda: rounds_saved(installation, run_id) >= 2, WITHIN_SECONDS, "two saved rounds")
    driver = driver_of(installation, run_id)
    assert driver is not None
    name = driver["metadata"]["name"]
    installation.kube.run("delete", "pod", name, "--grace-period=0", "--force")
    assert installation.ended(run_id, 2 * WITHIN_SECONDS)["state"] == "succeeded"
    event = told(installation, run_id, "batch_lost")
    assert "the application is FAILED; driver pod not found" in event["message"], installation.events(run_id)
    assert (event["data"]["code"], event["data"]["hint"]) == ("lost", HINTS[FailureCode.LOST])
    attempts = samples_by_attempt(installation, run_id, "spark")
    assert attempts[1] >= 2
    assert attempts[2] >= 1


def test_a_cancel_leaves_no_pod_job_or_application(installation: Installation, pair: str) -> None:
    """Of an isolated trial that measures, of one that waits for a node, and of Spark."""
    for document in (documents.ENDLESS, documents.ALONE, documents.WAITING):
        installation.create(document, "--no-run")
    runs = [installation.start_run("endless")]
    wait_for(lambda: spark_pods(installation, runs[0], "executor"), WITHIN_SECONDS, "executors")
    runs += [installation.start_run(name) for name in ("alone", "waiting")]
    alone, waiting = (f"corepoint.io/run={run_id}" for run_id in runs[1:])
    wait_for(lambda: installation.kube.objects("pods", waiting), 120, "the pod that waits")
    wait_for(lambda: installation.kube.ready_pods(alone), 120, "the pod that measures")
    for run_id in runs:
        installation.post(f"/v1/runs/{run_id}/cancel")
    cancelled = time.monotonic()
    selector = f"corepoint.io/run in ({','.join(runs)})"
    wait_for(lambda: not installation.kube.objects(OF_A_BATCH, selector), 60, "nothing to be left", pause=0.5)
    took = time.monotonic() - cancelled
    print(f"nothing was left {took:.1f} s after the cancel")  # noqa: T201 - for the record
    assert took <= CANCELLED_WITHIN_SECONDS
    for run_id in runs:
        assert installation.ended(run_id, 30)["state"] == "cancelled"

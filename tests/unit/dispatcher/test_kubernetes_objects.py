"""From the API server's answers, read by its own client, to what diagnoses are made of."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from kubernetes.client import ApiClient

from app.domain.pod_diagnosis import Ended, Waiting
from app.gateways.kubernetes_objects import pod_status, trial_job, trial_pod, worker_pod

BATCH = UUID(int=7)
METADATA = {
    "name": "p",
    "creationTimestamp": "2026-11-21T12:00:00Z",
    "labels": {"corepoint.io/queue": "default", "corepoint.io/batch": str(BATCH), "corepoint.io/attempt": "2"},
}


def read(kind: str, status: dict[str, Any], **metadata: Any) -> Any:
    container = {"name": "worker", "image": "x", "resources": {"limits": {"memory": "3Gi"}}}
    body = {"metadata": {**METADATA, **metadata}, "spec": {"containers": [container]}, "status": status}
    if kind == "V1Job":
        body["spec"] = {"template": {"spec": {"containers": [container]}}}
    return ApiClient().deserialize(json.dumps(body), kind, "application/json")


def container_status(state: dict[str, Any], last_state: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "name": "worker", "image": "x", "imageID": "x", "ready": False, "restartCount": 1,
        "state": state, "lastState": last_state or {},
    }  # fmt: skip


OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
RUNNING = {"running": {"startedAt": "2026-11-21T12:05:00Z"}}


def test_a_container_that_was_started_again_keeps_its_end() -> None:
    read_pod = worker_pod(read("V1Pod", {"phase": "Running", "containerStatuses": [container_status(RUNNING, OOM)]}))
    assert read_pod.status.ended == Ended("OOMKilled", 137)
    assert read_pod.status.memory_limit_bytes == 3 << 30
    assert read_pod.started_at is not None
    assert (read_pod.ready, read_pod.terminating, read_pod.queue) == (False, False, "default")


def test_what_a_container_waits_for_counts_unless_it_is_just_being_made() -> None:
    creating = container_status({"waiting": {"reason": "ContainerCreating"}})
    pulling = container_status({"waiting": {"reason": "ErrImagePull", "message": "not found"}})
    assert pod_status(read("V1Pod", {"phase": "Pending", "containerStatuses": [creating]})).waiting is None
    found = pod_status(read("V1Pod", {"phase": "Pending", "initContainerStatuses": [pulling]}))
    assert found.waiting == Waiting("ErrImagePull", "not found")


def test_conditions_and_the_pods_own_words_are_kept() -> None:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": "low"}
    found = pod_status(read("V1Pod", {"phase": "Failed", "reason": "Evicted", "conditions": [condition]}))
    assert (found.reason, found.conditions["DisruptionTarget"].reason) == ("Evicted", "TerminationByKubelet")
    assert found.conditions["DisruptionTarget"].holds


def test_a_pod_that_has_no_status_yet_is_pending() -> None:
    assert pod_status(read("V1Pod", {})).phase == "Pending"


def test_pods_and_jobs_of_trials_say_whose_they_are() -> None:
    pod = trial_pod(read("V1Pod", {"phase": "Running"}))
    ended = {"type": "Failed", "status": "True", "lastTransitionTime": "2026-11-21T13:00:00Z"}
    job = trial_job(read("V1Job", {"conditions": [ended]}))
    assert pod is not None
    assert job is not None
    assert (pod.batch_id, pod.attempt) == (job.batch_id, job.attempt) == (BATCH, 2)
    assert job.ended_at is not None
    assert trial_pod(read("V1Pod", {}, labels={})) is None
    assert trial_job(read("V1Job", {}, labels={"corepoint.io/batch": "x", "corepoint.io/attempt": "1"})) is None

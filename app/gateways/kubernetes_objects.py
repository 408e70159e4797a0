"""Objects of the Kubernetes API, as its client models them, in the words of the control plane."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.pod_diagnosis import Condition, Ended, PodStatus, Waiting

QUEUE_LABEL = "corepoint.io/queue"
BATCH_LABEL = "corepoint.io/batch"
ATTEMPT_LABEL = "corepoint.io/attempt"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_STARTING = frozenset({"ContainerCreating", "PodInitializing"})
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class WorkerPod:
    """A pod in which batches are measured. `started_at`: of the container that runs now; `deletion_cost` as set."""

    name: str
    queue: str
    ready: bool
    terminating: bool
    created_at: datetime
    started_at: datetime | None
    node: str | None
    deletion_cost: int
    status: PodStatus


@dataclass(frozen=True)
class TrialPod:
    """Of an isolated trial, for one attempt at its batch."""

    name: str
    batch_id: UUID
    attempt: int
    created_at: datetime
    status: PodStatus


@dataclass(frozen=True)
class TrialJob:
    """`ended_at`: None while it is under way."""

    name: str
    batch_id: UUID
    attempt: int
    created_at: datetime
    ended_at: datetime | None
    terminating: bool


@dataclass(frozen=True)
class SparkApplicationRef:
    name: str
    batch_id: str
    attempt: int
    state: str
    created_at: datetime | None = None


# Generated models call every field optional; the API server fills those read here.


def worker_pod(pod: Any) -> WorkerPod:
    status, metadata = pod.status, pod.metadata
    container = (status.container_statuses or [None])[0]
    running = container.state.running if container else None
    conditions = {condition.type: condition.status for condition in status.conditions or []}
    annotations = metadata.annotations or {}
    return WorkerPod(
        name=metadata.name,
        queue=metadata.labels.get(QUEUE_LABEL, ""),
        ready=conditions.get("Ready") == "True",
        terminating=metadata.deletion_timestamp is not None,
        created_at=metadata.creation_timestamp,
        started_at=running.started_at if running else None,
        node=pod.spec.node_name,
        deletion_cost=int(annotations.get(DELETION_COST, 0)),
        status=pod_status(pod),
    )


def trial_pod(pod: Any) -> TrialPod | None:
    """None: it does not say whose it is."""
    whose = _whose(pod.metadata.labels)
    return whose and TrialPod(pod.metadata.name, *whose, pod.metadata.creation_timestamp, pod_status(pod))


def trial_job(job: Any) -> TrialJob | None:
    """None: it does not say whose it is."""
    whose = _whose(job.metadata.labels)
    ends = [one.last_transition_time for one in job.status.conditions or [] if one.type in {"Complete", "Failed"}]
    return whose and TrialJob(
        name=job.metadata.name,
        batch_id=whose[0],
        attempt=whose[1],
        created_at=job.metadata.creation_timestamp,
        ended_at=ends[0] if ends else None,
        terminating=job.metadata.deletion_timestamp is not None,
    )


def pod_status(pod: Any) -> PodStatus:
    status = pod.status
    containers = [*(status.init_container_statuses or []), *(status.container_statuses or [])]
    waiting = [one.state.waiting for one in containers if one.state.waiting and one.state.waiting.reason]
    held = [one for one in waiting if one.reason not in _STARTING]
    limits = pod.spec.containers[0].resources.limits or {} if pod.spec.containers[0].resources else {}
    return PodStatus(
        phase=status.phase or "Pending",
        reason=status.reason or "",
        message=status.message or "",
        waiting=Waiting(held[0].reason, held[0].message or "") if held else None,
        ended=_ended(status.container_statuses or []),
        conditions={
            one.type: Condition(one.status == "True", one.reason or "", one.message or "")
            for one in status.conditions or []
        },
        memory_limit_bytes=_bytes(limits.get("memory")),
        is_kept_running=pod.spec.restart_policy == "Always" and pod.metadata.deletion_timestamp is None,
    )


def spark_application_refs(items: Iterable[dict[str, Any]]) -> Iterable[SparkApplicationRef]:
    for item in items:
        labels = item["metadata"].get("labels", {})
        if BATCH_LABEL in labels and labels.get(ATTEMPT_LABEL, "").isdigit():
            state = item.get("status", {}).get("applicationState", {}).get("state", "")
            yield SparkApplicationRef(
                item["metadata"]["name"],
                labels[BATCH_LABEL],
                int(labels[ATTEMPT_LABEL]),
                state,
                _moment(item["metadata"].get("creationTimestamp")),
            )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _whose(labels: dict[str, str]) -> tuple[UUID, int] | None:
    attempt = labels.get(ATTEMPT_LABEL, "")
    try:
        return (UUID(labels[BATCH_LABEL]), int(attempt)) if attempt.isdigit() else None
    except (KeyError, ValueError):
        return None


def _ended(containers: list[Any]) -> Ended | None:
    """The latest end of the pod's container, of which there is one."""
    for container in containers:
        for state in (container.state.terminated, container.last_state.terminated):
            if state is not None:
                return Ended(state.reason or "", state.exit_code, state.message or "")
    return None


def _bytes(quantity: str | None) -> int | None:
    if quantity is None:
        return None
    unit = quantity.lstrip("0123456789.")
    number = quantity.removesuffix(unit)
    return int(float(number) * _UNITS[unit]) if unit in _UNITS else int(number) if not unit else None

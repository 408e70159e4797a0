"""What a pod tells of a worker that has fallen silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.dispatcher.gone import end_of
from app.domain.pod_diagnosis import Condition, Ended, PodStatus
from app.gateways.kubernetes import WorkerPod

BEAT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
WELL = PodStatus(phase="Running", memory_limit_bytes=3 << 30)
ALIVE = WorkerPod(
    name="worker-a",
    queue="default",
    ready=True,
    terminating=False,
    created_at=BEAT - timedelta(minutes=6),
    started_at=BEAT - timedelta(minutes=5),
    node="node1",
    deletion_cost=0,
    status=WELL,
)
EVICTED = replace(WELL, conditions={"DisruptionTarget": Condition(True, "EvictionByEvictionAPI")})


@pytest.mark.parametrize(
    "pod",
    [
        ALIVE,
        replace(ALIVE, terminating=True, status=EVICTED),  # it drains: it may still be heard
        replace(ALIVE, started_at=None, status=PodStatus(phase="Pending")),
    ],
)
def test_a_worker_that_may_be_heard_again_is_not_gone(pod: WorkerPod) -> None:
    assert end_of("worker-a", BEAT, pod, pod.status) is None


@pytest.mark.parametrize(
    ("status", "started_after", "code", "message"),
    [
        (
            PodStatus(phase="Failed", reason="Evicted", message="low on disk"),
            None,
            "evicted",
            "its worker pod worker-a ended: evicted by its node: low on disk",
        ),
        (PodStatus(phase="Succeeded"), None, "lost", "its worker pod worker-a ended: Succeeded"),
        (
            replace(WELL, ended=Ended("OOMKilled", 137)),
            4,
            "oom_killed",
            "its worker pod worker-a was started again: killed by the kernel (OOMKilled) at its memory limit of "
            "3.0 GiB",
        ),
        (
            replace(WELL, ended=Ended("Error", 137)),
            4,
            "crash",
            "its worker pod worker-a was started again: exit code 137 (SIGKILL)",
        ),
    ],
)
def test_a_pod_tells_why_its_worker_cannot_be_heard_again(
    status: PodStatus, started_after: int | None, code: str, message: str
) -> None:
    started_at = BEAT + timedelta(seconds=started_after) if started_after else None
    found = end_of("worker-a", BEAT, replace(ALIVE, started_at=started_at, status=status), WELL)
    assert found is not None
    assert (found.code.value, found.message) == (code, message)
    assert found.hint


@pytest.mark.parametrize(("beat_after", "is_gone"), [(0.9, True), (1.1, False)])
def test_a_container_that_started_in_the_second_of_the_last_beat_is_another_one(
    beat_after: float, is_gone: bool
) -> None:
    """Kubernetes tells whole seconds: who is killed at .9 and started at .95 seems to have started before the beat."""
    pod = replace(ALIVE, started_at=BEAT, status=replace(WELL, ended=Ended("OOMKilled", 137)))
    assert (end_of("worker-a", BEAT + timedelta(seconds=beat_after), pod, WELL) is not None) == is_gone


def test_a_pod_that_is_not_there_is_judged_by_what_was_seen_of_it_last() -> None:
    found = end_of("worker-a", BEAT, None, WELL)
    evicted = end_of("worker-a", BEAT, None, EVICTED)
    assert found is not None
    assert evicted is not None
    assert (found.code.value, found.message) == ("lost", "its worker pod worker-a is gone")
    assert evicted.code.value == "evicted"
    assert evicted.message.startswith("its worker pod worker-a is gone: evicted through the API")

"""What a pod tells of a worker that has fallen silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.dispatcher.gone import end_of
from app.gateways.kubernetes import WorkerPod

BEAT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ALIVE = WorkerPod(
    name="worker-a",
    queue="default",
    phase="Running",
    ready=True,
    terminating=False,
    started_at=BEAT - timedelta(minutes=5),
    reason=None,
    node="node1",
    deletion_cost=0,
)


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (ALIVE, None),
        (replace(ALIVE, terminating=True), None),  # it drains: it may still be heard
        (replace(ALIVE, phase="Pending", started_at=None, reason="ImagePullBackOff"), None),
        (replace(ALIVE, phase="Failed", reason="Evicted"), "its worker pod worker-a ended: Evicted"),
        (replace(ALIVE, phase="Succeeded"), "its worker pod worker-a ended: Succeeded"),
        (
            replace(ALIVE, started_at=BEAT + timedelta(seconds=4), reason="OOMKilled"),
            "its worker pod worker-a was started again: OOMKilled",
        ),
    ],
)
def test_a_pod_tells_whether_its_worker_can_be_heard_again(pod: WorkerPod, reason: str | None) -> None:
    assert end_of("worker-a", BEAT, {"worker-a": pod, "worker-b": replace(ALIVE, name="worker-b")}) == reason


def test_a_pod_that_is_not_there_cannot_be_heard_again() -> None:
    assert end_of("worker-a", BEAT, {}) == "its worker pod worker-a is gone"

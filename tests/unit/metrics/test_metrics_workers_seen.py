"""Ready workers by queue, or nothing where nobody can say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from app.domain.pod_diagnosis import PodStatus
from app.gateways.kubernetes import WorkerPod
from app.metrics.workers_seen import WorkersSeen

BORN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Pods:
    """What a cluster would answer; None: it does not."""

    def __init__(self, *pods: WorkerPod) -> None:
        self.pods: Sequence[WorkerPod] | None = pods

    async def worker_pods(self) -> Sequence[WorkerPod]:
        if self.pods is None:
            raise ConnectionError("the API server is away")
        return self.pods


def pod(queue: str, **values: Any) -> WorkerPod:
    usual = {
        "name": "w", "ready": True, "terminating": False, "created_at": BORN, "started_at": None, "node": "n",
        "deletion_cost": 0, "status": PodStatus(phase="Running"),
    }  # fmt: skip
    return WorkerPod(queue=queue, **{**usual, **values})


async def test_pods_count_if_they_are_ready_and_stay() -> None:
    pods = Pods(pod("default"), pod("default"), pod("spark", ready=False), pod("priority", terminating=True))
    seen = WorkersSeen(pods, interval_seconds=1, limit_seconds=1)
    assert seen.ready is None, "nobody has looked yet"
    await seen.look()
    assert seen.ready == {"default": 2}


async def test_numbers_are_forgotten_while_the_cluster_does_not_answer() -> None:
    pods = Pods(pod("default"))
    seen = WorkersSeen(pods, interval_seconds=1, limit_seconds=1)
    await seen.look()
    pods.pods = None
    await seen.look()
    assert seen.ready is None
    pods.pods = [pod("spark")]
    await seen.look()
    assert seen.ready == {"spark": 1}

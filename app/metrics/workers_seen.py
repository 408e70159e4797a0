"""Worker pods that are ready, looked up beside the scrapes: a slow API server must not make them time out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from app.gateways.kubernetes import WorkerPod

log = structlog.get_logger()


class WorkerPods(Protocol):
    async def worker_pods(self) -> Sequence[WorkerPod]: ...


class WorkersSeen:
    """`ready` by queue; None while it is not known. Queues without a ready pod are not in it."""

    def __init__(self, pods: WorkerPods, interval_seconds: float, limit_seconds: float) -> None:
        self._pods = pods
        self._interval = interval_seconds
        self._limit = limit_seconds
        self.ready: Mapping[str, int] | None = None
        self._failing = False  # logged when it begins, not at each look

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._interval)

    async def look(self) -> None:
        try:
            async with asyncio.timeout(self._limit):
                pods = await self._pods.worker_pods()
        except Exception as error:  # the API server is away; the next look sees
            if not self._failing:
                log.warning("worker pods cannot be read", error=repr(error))
            self._failing = True
            self.ready = None
            return
        self._failing = False
        self.ready = Counter(pod.queue for pod in pods if pod.ready and not pod.terminating)

"""Gone: a batch whose worker pod was deleted, evicted or killed, told by the pod itself long before the lease ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from app.clock import now
from app.contracts.assignment import Progress
from app.contracts.states import BatchState, Isolation
from app.db.models import Batch
from app.dispatcher import attempts
from app.dispatcher.context import Context
from app.domain.pod_diagnosis import Diagnosis, PodStatus, diagnose, disruption, last_end
from app.gateways.kubernetes import WorkerPod

SILENT_BEATS = 2
"""A container may outlive its pod object for a moment; one that still beats is not gone."""
WHOLE_SECONDS = timedelta(seconds=1)
"""Kubernetes cuts the fraction off the time at which a container started, and no worker beats in its first second."""


class GoneWorkers:
    """Remembers the pods it has seen: a worker outside the cluster never was one, and is judged by its lease alone."""

    def __init__(self) -> None:
        self._seen: dict[str, PodStatus] = {}

    async def reconcile(self, context: Context) -> int:
        if context.kubernetes is None:
            return 0
        pods = {pod.name: pod for pod in await context.kubernetes.worker_pods()}
        batches = await _running(context)
        # Of pods that are gone, only those that somebody may still ask for.
        wanted = {batch.worker for batch in batches}
        self._seen = {name: status for name, status in self._seen.items() if name in wanted}
        self._seen |= {name: pod.status for name, pod in pods.items()}
        held = Counter(batch.worker for batch in batches)
        lost = 0
        for batch in batches:
            found = self._found(batch, pods, context)
            if found is not None:
                measured = _measured(batch) if held[batch.worker] == 1 else None
                lost += await attempts.end(context, batch, found, measured)
        return lost

    def _found(self, batch: Batch, pods: Mapping[str, WorkerPod], context: Context) -> Diagnosis | None:
        if batch.worker not in self._seen:
            return None
        beat_at = silent_since(batch, context)
        if beat_at is None:
            return None
        return end_of(batch.worker, beat_at, pods.get(batch.worker), self._seen[batch.worker])


def silent_since(batch: Batch, context: Context) -> datetime | None:
    """When a running batch was last heard, if that is long ago; None if it may live."""
    leases = context.settings.leases
    if batch.lease_until is None:
        return None
    beat_at = batch.lease_until - timedelta(seconds=leases.lease_seconds)
    silent = now() - beat_at >= timedelta(seconds=SILENT_BEATS * leases.heartbeat_seconds)
    return beat_at if silent else None


def end_of(worker: str, beat_at: datetime, pod: WorkerPod | None, seen: PodStatus) -> Diagnosis | None:
    """Why the worker that was last heard at `beat_at` cannot be heard again; None if it may.

    `seen` is what its pod's status was when it was last there.
    """
    if pod is None:
        known = disruption(seen)
        found = known or diagnose(None)
        text = f"its worker pod {worker} is gone" + (f": {known.message}" if known else "")
        return found and replace(found, message=text)
    if pod.status.is_over:
        return _said(f"its worker pod {worker} ended", last_end(pod.status))
    if pod.started_at is not None and beat_at < pod.started_at + WHOLE_SECONDS:
        return _said(f"its worker pod {worker} was started again", last_end(pod.status))
    return None


def _said(what: str, found: Diagnosis) -> Diagnosis:
    return replace(found, message=f"{what}: {found.message}")


def _measured(batch: Batch) -> UUID | None:
    return Progress.model_validate(batch.progress).trial_id if batch.progress else None


async def _running(context: Context) -> list[Batch]:
    query = select(Batch).where(Batch.state == BatchState.RUNNING, Batch.isolation == Isolation.PROCESS)
    async with context.database.read() as session:
        found = await session.scalars(query.order_by(Batch.lease_until).limit(context.settings.dispatcher.page))
        return list(found.all())

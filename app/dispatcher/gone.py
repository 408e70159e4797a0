"""Gone: a batch whose worker pod was deleted, evicted or killed, told by the pod itself long before the lease ends."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import select

from app.clock import now
from app.contracts.states import BatchState
from app.db.models import Batch
from app.dispatcher.context import Context
from app.gateways.kubernetes import WorkerPod
from app.runs import transitions

SILENT_BEATS = 2
"""A container may outlive its pod object for a moment; one that still beats is not gone."""


class GoneWorkers:
    """Remembers the pods it has seen: a worker outside the cluster never was one, and is judged by its lease alone."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    async def reconcile(self, context: Context) -> int:
        if context.kubernetes is None:
            return 0
        pods = {pod.name: pod for pod in await context.kubernetes.worker_pods()}
        self._seen |= pods.keys()
        lost = 0
        for batch in await _running(context):
            reason = self._reason(batch, pods, context)
            if reason is not None:
                with suppress(transitions.Stale):
                    async with context.database.write() as session:
                        await transitions.lose(session, batch, reason, now(), context.settings.leases.attempts)
                    lost += 1
        return lost

    def _reason(self, batch: Batch, pods: Mapping[str, WorkerPod], context: Context) -> str | None:
        leases = context.settings.leases
        if batch.worker not in self._seen or batch.lease_until is None:
            return None
        beat_at = batch.lease_until - timedelta(seconds=leases.lease_seconds)
        if now() - beat_at < timedelta(seconds=SILENT_BEATS * leases.heartbeat_seconds):
            return None
        return end_of(batch.worker, beat_at, pods)


def end_of(worker: str, beat_at: datetime, pods: Mapping[str, WorkerPod]) -> str | None:
    """Why the worker that was last heard at `beat_at` cannot be heard again; None if it may."""
    pod = pods.get(worker)
    if pod is None:
        return f"its worker pod {worker} is gone"
    if pod.phase in {"Failed", "Succeeded"}:
        return f"its worker pod {worker} ended: {pod.reason or pod.phase}"
    if pod.started_at is not None and pod.started_at > beat_at:
        return f"its worker pod {worker} was started again: {pod.reason or 'no reason known'}"
    return None


async def _running(context: Context) -> list[Batch]:
    query = select(Batch).where(Batch.state == BatchState.RUNNING).limit(context.settings.dispatcher.page)
    async with context.database.read() as session:
        return list((await session.scalars(query.order_by(Batch.lease_until))).all())

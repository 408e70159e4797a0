"""Stuck queues: batches wait for workers that cannot start; their runs say so, and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select

from app.clock import now
from app.contracts.states import BatchState, Isolation, QueueName
from app.db.models import Batch
from app.dispatcher.context import Context
from app.domain.pod_diagnosis import Diagnosis, diagnose
from app.gateways.kubernetes import WorkerPod
from app.runs.events import record_once
from app.runs.guarded import lock_run

PATIENCE = timedelta(seconds=30)
"""A first pull may fail and the second succeed; a node may just be coming."""
RUNS = 20
"""The oldest that wait on a queue. Those behind them hear it when they are the oldest."""


async def reconcile(context: Context) -> int:
    if context.kubernetes is None:
        return 0
    told = 0
    for queue, (pod, found) in _stuck(await context.kubernetes.worker_pods()).items():
        for run_id in await _waiting_runs(context, queue):
            told += await _tell(context, run_id, queue, pod, found)
    return told


def _stuck(pods: Iterable[WorkerPod]) -> dict[QueueName, tuple[str, Diagnosis]]:
    """Queues without a worker that is ready, whose pods say why."""
    moment = now()
    ready: set[str] = set()
    why: dict[str, tuple[str, Diagnosis]] = {}
    for pod in pods:
        if pod.ready:
            ready.add(pod.queue)
        elif not pod.terminating and not pod.status.is_over and pod.created_at < moment - PATIENCE:
            found = diagnose(pod.status)
            if found is not None:
                why.setdefault(pod.queue, (pod.name, found))
    return {QueueName(queue): one for queue, one in why.items() if queue in set(QueueName) and queue not in ready}


async def _waiting_runs(context: Context, queue: QueueName) -> list[UUID]:
    waiting = (BatchState.WAITING, BatchState.SUBMITTED)
    query = (
        select(Batch.run_id)
        .where(Batch.state.in_(waiting), Batch.isolation == Isolation.PROCESS, Batch.queue == queue)
        .group_by(Batch.run_id)
        .order_by(func.min(Batch.submitted_at), Batch.run_id)
        .limit(RUNS)
    )
    async with context.database.read() as session:
        return list((await session.scalars(query)).all())


async def _tell(context: Context, run_id: UUID, queue: QueueName, pod: str, found: Diagnosis) -> bool:
    async with context.database.write() as session:
        await lock_run(session, run_id)
        return await record_once(
            session, run_id, now(), "queue_stuck",
            f"no worker of {queue.value} can start: {pod} is {found.message}",
            about={"queue": queue.value, "code": found.code.value}, hint=found.hint,
        )  # fmt: skip

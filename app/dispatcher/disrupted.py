"""Disrupted: a pod in which a batch is measured is being taken away; its run is told why.

A worker that drains gives its batch back within a sample, and its pod is gone a second later: looking now and then
would find neither. So the pods are watched. One that its node evicts has two seconds to give its batch back, before
its status says anything.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import first_id, now
from app.contracts.states import BatchState
from app.db.models import Batch, Event
from app.dispatcher.context import Context
from app.domain.pod_diagnosis import Diagnosis, disruption
from app.gateways.kubernetes import KubernetesGateway, WorkerPod
from app.runs.events import BATCH_RELEASED, record_once
from app.runs.guarded import lock_batch

WATCH_SECONDS = 25.0
"""A turn. The next one begins with a look at all pods, so what a broken watch missed is seen then."""

GIVEN_BACK = timedelta(minutes=5)
"""How long ago a batch that is told of may have been given back. A pod that its node evicted stays listed for long."""


async def reconcile(context: Context) -> int:
    if context.kubernetes is None:
        return 0
    told = 0
    async for pod in _changes(context.kubernetes):
        why = disruption(pod.status)
        if why is not None:
            told += await _tell(context, pod.name, why)
    return told


async def _changes(kubernetes: KubernetesGateway) -> AsyncIterator[WorkerPod]:
    """From a thread that ends with the process: nothing waits for it when the dispatcher stops."""
    loop = asyncio.get_running_loop()
    changes: asyncio.Queue[WorkerPod | Exception | None] = asyncio.Queue()

    def say(word: WorkerPod | Exception | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(changes.put_nowait, word)

    def follow() -> None:
        try:
            for pod in kubernetes.watched(WATCH_SECONDS):
                say(pod)
        except Exception as error:
            say(error)
        else:
            say(None)

    threading.Thread(target=follow, name="pod-watch", daemon=True).start()
    while (change := await changes.get()) is not None:
        if isinstance(change, Exception):
            raise change
        yield change


async def _tell(context: Context, worker: str, why: Diagnosis) -> int:
    async with context.database.read() as session:
        held = await _held(session, worker)
    told = 0
    for batch_id, attempt in held:
        async with context.database.write() as session:
            locked = await lock_batch(session, batch_id)
            if locked is None:
                continue
            run, batch = locked
            message = f"batch {batch.position}, attempt {attempt}: its pod {worker} is being taken away: {why.message}"
            told += await record_once(
                session, run.id, now(), "worker_disrupted", message,
                about={"batch_id": str(batch_id), "attempt": attempt}, code=why.code.value, hint=why.hint,
            )  # fmt: skip
    return told


async def _held(session: AsyncSession, worker: str) -> list[tuple[UUID, int]]:
    """Batches and attempts that the worker has, or has just given back: it may be sooner than we hear of its pod."""
    running = await session.execute(
        select(Batch.id, Batch.attempt).where(Batch.state == BatchState.RUNNING, Batch.worker == worker)
    )
    given_back = await session.scalars(
        select(Event.data).where(
            Event.id > first_id(now() - GIVEN_BACK),
            Event.kind == BATCH_RELEASED,
            Event.data["worker"].as_string() == worker,
        )
    )
    return [
        *((batch_id, attempt) for batch_id, attempt in running),
        *((UUID(data["batch_id"]), int(data["attempt"])) for data in given_back),
    ]

"""The relay: leases due work rows and hands each to its handler. Any number of dispatchers may run it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from app.clock import new_id, now
from app.db.models import WorkKind
from app.db.work import LeasedWork, lease_due, postpone, settle
from app.dispatcher import batches, datasets, experiments, objects, runs, trials
from app.dispatcher.context import Context, Handler, NotYetError
from app.dispatcher.pulse import Pulse

log = structlog.get_logger()
_DOUBLINGS = 30  # beyond any limit; a float has no room for those of an outage of a day

HANDLERS: Mapping[WorkKind, Handler] = {
    WorkKind.EXPERIMENT: experiments.ensure,
    WorkKind.FORGET: experiments.forget,
    WorkKind.RUN: runs.advance,
    WorkKind.BATCH: batches.submit,
    WorkKind.DATASET: datasets.submit,
    WorkKind.TRIAL: trials.mirror,
    WorkKind.RUN_OBJECTS: objects.of_run,
    WorkKind.DATASET_OBJECTS: objects.of_dataset,
    WorkKind.UPLOAD: objects.of_upload,
}


OBJECTS = frozenset({WorkKind.RUN_OBJECTS, WorkKind.DATASET_OBJECTS, WorkKind.UPLOAD})


@dataclass(frozen=True)
class Lane:
    """Kinds whose handlers wait for the same part of the world, and how many rows may be under way at once."""

    name: str
    kinds: frozenset[WorkKind]
    width: int


def lanes(page: int) -> tuple[Lane, ...]:
    """A receiver of webhooks, or MLflow, that does not answer must not keep a batch from its flow run."""
    return (
        # Prefect's server has one process and few connections: more at once would all be late, and then be repeated.
        Lane("relay", frozenset({WorkKind.BATCH, WorkKind.DATASET}), min(page, 16)),
        # Its own lane: a thousand schedules that are registered again must not keep a batch from its flow run.
        Lane("relay-experiments", frozenset({WorkKind.EXPERIMENT, WorkKind.FORGET}), min(page, 4)),
        Lane("relay-runs", frozenset({WorkKind.RUN}), page),
        # Few: the server of MLflow has one process, and each row must be done within its lease.
        Lane("relay-mlflow", frozenset({WorkKind.TRIAL}), min(page, 10)),
        # Few: deleting many objects must not take the store's time from those who measure.
        Lane("relay-objects", OBJECTS, min(page, 4)),
    )


class Relay:
    """`run` until cancelled. A row's handler is bounded by the row's lease, so no two dispatchers hold one entity."""

    def __init__(self, context: Context, pulse: Pulse) -> None:
        self._context = context
        self._pulse = pulse
        self._settings = context.settings.dispatcher
        self.owner = f"dispatcher-{new_id()}"

    async def run(self) -> None:
        served = [(lane, asyncio.Event()) for lane in lanes(self._settings.page)]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass_on([wake for _, wake in served]))
            for lane, wake in served:
                tasks.create_task(self._serve(lane, wake), name=lane.name)

    async def _pass_on(self, wakes: Sequence[asyncio.Event]) -> None:
        """Each lane has a wake of its own, which no other can clear."""
        arrived = self._context.database.work_arrived
        while True:
            await arrived.wait()
            arrived.clear()
            for wake in wakes:
                wake.set()

    async def _serve(self, lane: Lane, wake: asyncio.Event) -> None:
        """A row that takes long keeps its place of the lane's, and delays no other."""
        under_way: set[asyncio.Task[None]] = set()

        def end(task: asyncio.Task[None]) -> None:
            if len(under_way) == lane.width:
                wake.set()
            under_way.discard(task)

        async with asyncio.TaskGroup() as handling:
            while True:
                wake.clear()
                self._pulse.beat(lane.name)
                room = lane.width - len(under_way)
                leased = await self._lease(lane, room) if room else []
                for work in leased:
                    task = handling.create_task(self._handle(work))
                    under_way.add(task)
                    task.add_done_callback(end)
                if not leased or len(leased) < room:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(wake.wait(), self._settings.poll_seconds)

    async def _lease(self, lane: Lane, room: int) -> Sequence[LeasedWork]:
        lease = timedelta(seconds=self._settings.lease_seconds)
        try:
            async with self._context.database.write() as session:
                return await lease_due(session, self.owner, now(), lease, lane.kinds, room)
        except Exception as error:  # the database is away: keep trying, it comes back
            log.warning("work rows cannot be read", error=repr(error))
            return []

    async def _handle(self, work: LeasedWork) -> None:
        try:
            await self._bring(work)
        except Exception as error:  # the database is away: the lease ends, and somebody looks again
            log.warning("work not settled", kind=work.kind, entity=str(work.entity_id), error=repr(error))

    async def _bring(self, work: LeasedWork) -> None:
        try:
            async with asyncio.timeout(self._settings.lease_seconds * 0.8):
                again_at = await HANDLERS[work.kind](self._context, work.entity_id)
        except NotYetError as error:
            await self._postpone(work, error, error.due_at)
            return
        except Exception as error:  # any failure of one entity must leave the others alone
            log.warning(
                "work postponed", kind=work.kind, entity=str(work.entity_id), attempts=work.attempts, error=repr(error)
            )
            await self._postpone(work, error, now() + self._backoff(work.attempts))
            return
        async with self._context.database.write() as session:
            await settle(session, work, self.owner, again_at)

    async def _postpone(self, work: LeasedWork, error: Exception, due_at: datetime) -> None:
        self._pulse.postponed.labels(work.kind.value).inc()
        async with self._context.database.write() as session:
            await postpone(session, work, self.owner, due_at, repr(error))

    def _backoff(self, attempts: int) -> timedelta:
        doubled = self._settings.backoff_seconds * 2.0 ** min(attempts, _DOUBLINGS)
        longest = min(self._settings.backoff_limit_seconds, doubled)
        return timedelta(seconds=random.uniform(longest / 2, longest))  # noqa: S311 - jitter, no secret

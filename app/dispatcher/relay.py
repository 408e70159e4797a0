"""The relay: leases due work rows and hands each to its handler. Any number of dispatchers may run it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from datetime import timedelta

import structlog

from app.clock import new_id, now
from app.db.models import WorkKind
from app.db.work import LeasedWork, lease_due, postpone, settle
from app.dispatcher import batches, datasets, experiments, runs, trials
from app.dispatcher.context import Context, Handler
from app.dispatcher.pulse import Pulse

log = structlog.get_logger()

HANDLERS: Mapping[WorkKind, Handler] = {
    WorkKind.EXPERIMENT: experiments.ensure,
    WorkKind.FORGET: experiments.forget,
    WorkKind.RUN: runs.advance,
    WorkKind.BATCH: batches.submit,
    WorkKind.DATASET: datasets.submit,
    WorkKind.TRIAL: trials.mirror,
}


class Relay:
    """`run` until cancelled. A row's handler is bounded by the row's lease, so no two dispatchers hold one entity."""

    def __init__(self, context: Context, pulse: Pulse) -> None:
        self._context = context
        self._pulse = pulse
        self._settings = context.settings.dispatcher
        self.owner = f"dispatcher-{new_id()}"

    async def run(self) -> None:
        wake = self._context.database.work_arrived
        while True:
            wake.clear()
            self._pulse.beat("relay")
            try:
                busy = await self.step()
            except Exception as error:  # the database is away: keep trying, it comes back
                log.warning("work rows cannot be read", error=repr(error))
                busy = 0
            if not busy:
                try:
                    await asyncio.wait_for(wake.wait(), self._settings.poll_seconds)
                except TimeoutError:
                    continue

    async def step(self) -> int:
        """Handle what is due now; answers how many rows that was."""
        lease = timedelta(seconds=self._settings.lease_seconds)
        async with self._context.database.write() as session:
            leased = await lease_due(session, self.owner, now(), lease, self._settings.page)
        await asyncio.gather(*(self._handle(work) for work in leased))
        return len(leased)

    async def _handle(self, work: LeasedWork) -> None:
        try:
            async with asyncio.timeout(self._settings.lease_seconds * 0.8):
                again_at = await HANDLERS[work.kind](self._context, work.entity_id)
        except Exception as error:  # any failure of one entity must leave the others alone
            await self._postpone(work, error)
            return
        async with self._context.database.write() as session:
            await settle(session, work, self.owner, again_at)

    async def _postpone(self, work: LeasedWork, error: Exception) -> None:
        longest = min(self._settings.backoff_limit_seconds, self._settings.backoff_seconds * 2.0**work.attempts)
        delay = timedelta(seconds=random.uniform(longest / 2, longest))  # noqa: S311 - jitter, no secret
        self._pulse.postponed.labels(work.kind.value).inc()
        log.warning(
            "work postponed", kind=work.kind, entity=str(work.entity_id), attempts=work.attempts, error=repr(error)
        )
        async with self._context.database.write() as session:
            await postpone(session, work, self.owner, now() + delay, repr(error))

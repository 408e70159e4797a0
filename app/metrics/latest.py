"""One reading for all who ask at the same time: scrapes, KEDA and HPAs must not add up in the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import structlog

from app.clock import now
from app.contracts.states import QueueName
from app.db.engine import Database
from app.metrics.readings import Readings, read

log = structlog.get_logger()


class UnreadableError(Exception):
    """The database did not answer. Callers say so: a zero in its place would scale workers away."""


class Latest:
    """Readings not older than `age_seconds`; a failure is remembered as long, so that an outage is not hammered."""

    def __init__(
        self, database: Database, queues: Iterable[QueueName], age_seconds: float, limit_seconds: float
    ) -> None:
        self._database = database
        self._queues = tuple(queues)
        self._age = age_seconds
        self._limit = limit_seconds
        self._turn = asyncio.Lock()
        self._asked_at = float("-inf")
        self._outcome: Readings | None = None
        self._failing = False  # logged when it changes, not at each scrape
        self.succeeded = False  # ever

    async def get(self) -> Readings:
        """Raises UnreadableError."""
        async with self._turn:
            if time.monotonic() - self._asked_at >= self._age:
                self._asked_at = time.monotonic()
                self._outcome = await self._read()
        if self._outcome is None:
            raise UnreadableError("The database could not be read.")
        return self._outcome

    async def _read(self) -> Readings | None:
        try:
            async with asyncio.timeout(self._limit), self._database.read() as session:
                readings = await read(session, self._queues, now())
        except Exception as error:  # whatever a driver raises, the number is not known
            if not self._failing:
                log.warning("queues cannot be read", error=repr(error))
            self._failing = True
            return None
        if self._failing:
            log.info("queues can be read again")
        self._failing = False
        self.succeeded = True
        return readings

"""Holds the limits of one sample on a cluster: when its time is up, or it is cancelled, its jobs are."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import structlog

if TYPE_CHECKING:
    from pyspark import SparkContext

log = structlog.get_logger()
_LOOK_SECONDS = 0.2


class JobWatch:
    """While the context lasts. `ended` tells why jobs were cancelled, if they were.

    What Python does between two jobs is not interrupted, but the next job is cancelled as soon as it begins.
    """

    def __init__(self, context: SparkContext, cancelled: threading.Event) -> None:
        self._context = context
        self._cancelled = cancelled
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="job-watch", daemon=True)
        self._began = self._deadline = 0.0
        self.ended: Literal["timeout", "cancelled"] | None = None

    def __enter__(self) -> Self:
        # Jobs of this thread: their tasks are interrupted, not asked to end when they next look.
        self._context.setLocalProperty("spark.job.interruptOnCancel", "true")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def allow(self, seconds: float) -> None:
        """Start the clock: so long from now on."""
        self._began = time.monotonic()
        self._deadline = self._began + seconds

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def _run(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            if self._cancelled.is_set():
                self.ended = "cancelled"
            elif self._deadline and time.monotonic() > self._deadline:
                self.ended = self.ended or "timeout"
            if self.ended is not None:
                self._cancel()

    def _cancel(self) -> None:
        try:
            # Not a job group: the exchanges of a query run in groups of their own. The whole context is ours.
            self._context.cancelAllJobs()
        except Exception as error:
            # The JVM may be what has just ended; the sample's own error tells.
            log.warning("jobs not cancelled", error=str(error))

"""Sessions of a Spark driver that was started on a cluster: one at a time, each with executors of its own."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import structlog

from app.contracts.failures import Failure, FailureCode
from workers.measure.control import Cancelled, Control, Drained
from workers.measure.text import as_text
from workers.spark.executors import Executors

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = structlog.get_logger()
_PREFIX, _APP_ID = "spark.kubernetes.executor.podNamePrefix", "spark.app.id"
_LOOK_SECONDS = 0.5
MESSAGE = 1_500


class NoSessionError(RuntimeError):
    """No session, for this reason; a next one would have no better start."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class LiveSession:
    session: SparkSession
    executors: Executors


class Sessions:
    """Settings come from the spark-submit environment of this process; nothing but names is added to them."""

    def __init__(self, executors: int, start_seconds: float, control: Control) -> None:
        self._count = executors
        self._start_seconds = start_seconds
        self._control = control
        self._live: LiveSession | None = None
        self._started = 0
        # Executors run the driver's interpreter, which is in the same image.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)

    def start(self) -> LiveSession:
        """A session whose executors are all there. Raises NoSessionError, Cancelled, Drained."""
        from pyspark.sql import SparkSession

        self.stop()
        builder = SparkSession.builder
        for key, value in self._names.items():
            builder = builder.config(key, value)
        self._started += 1
        try:
            session: SparkSession = builder.getOrCreate()
        except Exception as error:
            text = f"the session did not start: {as_text(str(error))[:MESSAGE]}"
            raise NoSessionError(Failure.of(FailureCode.SPARK_SUBMIT, text)) from error
        if self._started == 1:
            self._first = session.sparkContext.getConf()
        live = self._live = LiveSession(session, Executors(session))
        self._wait(live)
        return live

    def stop(self) -> None:
        """End the session and its executors. The JVM stays, as a driver has only one."""
        live, self._live = self._live, None
        if live is not None:
            try:
                live.session.stop()
            except Exception as error:
                log.warning("the session had ended already", error=str(error))

    @property
    def _names(self) -> dict[str, str]:
        """Of a further session: the pods of the one before may still be going, and must not be taken for its own."""
        if self._started == 0 or self._first.get(_PREFIX) is None:
            return {}
        suffix = f"-s{self._started + 1}"
        return {name: f"{self._first.get(name)}{suffix}" for name in (_PREFIX, _APP_ID)}

    def _registered(self, live: LiveSession) -> int:
        try:
            return live.executors.registered()
        except httpx.HTTPError as error:
            # Spark ends a session whose executors fail again and again (spark.executor.maxNumFailures).
            self.stop()
            text = "the session ended while its executors were starting; they may have failed again and again"
            raise NoSessionError(Failure.of(FailureCode.SPARK_SUBMIT, text)) from error

    def _wait(self, live: LiveSession) -> None:
        deadline = time.monotonic() + self._start_seconds
        while (there := self._registered(live)) < self._count:
            if self._control.cancelled.is_set():
                raise Cancelled
            if self._control.draining.is_set():
                raise Drained
            if time.monotonic() > deadline:
                self.stop()
                # A fit on fewer than were asked for would be another one.
                text = f"{there} of {self._count} executors were there after {self._start_seconds:g} s"
                raise NoSessionError(Failure.of(FailureCode.UNSCHEDULABLE, text))
            time.sleep(_LOOK_SECONDS)

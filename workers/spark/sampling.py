"""Samples on a cluster: the driver fits, executors work, and Spark tells how much memory they took."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import MEMORY_ROUND, Evidence, MemoryFigure, Sample
from app.contracts.objects import StoreUnavailableError
from workers.algorithms.adapter import Resources, SparkCluster
from workers.measure import endings, reply
from workers.measure.control import Cancelled, Control, Drained
from workers.measure.fitting import Fitter
from workers.measure.messages import LABELS_FILE, STATUS_FILE, FitReply
from workers.measure.phases import PhaseClock, Reached
from workers.measure.sampling import Contender, Measured, fit_request
from workers.measure.watchdog import Breach
from workers.spark.cluster import LiveSession, NoSessionError, Sessions
from workers.spark.errors import diagnose
from workers.spark.executors import figure, oom_kills
from workers.spark.job_watch import JobWatch
from workers.spark.submit.order import Order
from workers.spark.tables import Tables

log = structlog.get_logger()


@dataclass
class _Open:
    """A session with the adapters that were opened on it, by their names."""

    live: LiveSession
    resources: Resources
    clock: PhaseClock
    fitters: dict[str, tuple[Contender, Fitter]] = field(default_factory=dict)
    fits: int = 0


@dataclass
class _Peaks:
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)


class ClusterSampler:
    """A `workers.measure.sampling.SampleSource`. All distributed algorithms of a batch share a session; one that
    failed, and in the memory pass one that has fitted, is not used again: a JVM never gives memory back."""

    def __init__(self, sessions: Sessions, tables: Tables, order: Order, scratch: Path, control: Control) -> None:
        self._sessions = sessions
        self._tables = tables
        self._order = order
        self._assignment = order.assignment
        self._folder = Path(tempfile.mkdtemp(prefix="driver-", dir=scratch))
        self._control = control
        self._open: _Open | None = None
        self._missing: Failure | None = None

    def measure(self, contender: Contender, number: int, order: int) -> Measured:
        for repeated in (0, 1):  # noqa: B007 - it is the number of earlier tries afterwards
            started_at = datetime.now(UTC)
            answer, outside = self._once(contender, number)
            if not outside:
                break
        sample = Sample(
            trial_id=contender.trial.trial_id,
            round=number,
            order=order,
            attempt=self._assignment.attempt,
            started_at=started_at,
            phases=answer.phases,
            memory=answer.memory,
            evidence=answer.evidence,
            labels_sha256=answer.labels_sha256,
            failure=answer.failure,
            repeated=repeated,
        )
        return Measured(sample, answer, self._folder / LABELS_FILE if number == MEMORY_ROUND else None)

    def close(self, *, at_once: bool = False) -> None:
        self._end_session(orderly=not at_once)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _once(self, contender: Contender, number: int) -> tuple[FitReply, bool]:
        """(reply, whether something outside ended it)."""
        (self._folder / LABELS_FILE).unlink(missing_ok=True)
        if self._open is not None and self._open.live.executors.lost():
            # A fit on those that are left would be another one.
            self._end_session(orderly=False)
        if number == MEMORY_ROUND and self._open is not None and self._open.fits:
            self._end_session()
        if self._missing is not None:
            return FitReply(failure=self._missing), False
        clock = self._open.clock if self._open is not None else PhaseClock(self._folder / STATUS_FILE)
        clock.next_sample()
        try:
            opened = self._open or self._start(clock)
        except NoSessionError as error:
            # No later sample can be taken either, and each would wait as long.
            self._missing = error.failure
            clock.close()
            return FitReply(phases=clock.phases, failure=self._missing), False
        opened.fits += 1
        watch = JobWatch(opened.live.session.sparkContext, self._control.cancelled)
        try:
            with watch:
                answer = self._fit(opened, watch, contender, number)
        except (StoreUnavailableError, Cancelled, Drained):
            raise
        except Exception as error:
            answer, outside = self._failed(error, opened, watch)
            self._end_session(orderly=False)
            return answer, outside
        if answer.failure is None and answer.evidence.executors_lost:
            # Its time is of a smaller cluster, and of what was done again.
            self._end_session(orderly=False)
            return answer, True
        return self._within_limits(answer, opened, watch), False

    def _start(self, clock: PhaseClock) -> _Open:
        begun = time.monotonic()
        clock.announce("start")
        live = self._sessions.start()
        cluster = SparkCluster(live.session, self._tables)
        resources = Resources(self._order.threads, self._assignment.memory_limit_bytes, self._folder, cluster)
        self._open = _Open(live, resources, clock)
        clock.note("start", time.monotonic() - begun)
        return self._open

    def _fit(self, opened: _Open, watch: JobWatch, contender: Contender, number: int) -> FitReply:
        limit = self._assignment.protocol.limits.sample_seconds
        watch.allow(limit)
        fitter = self._fitter(opened, contender)
        peaks = _Peaks()
        lost_before = opened.live.executors.lost()

        def wait_for_go() -> None:
            if number == MEMORY_ROUND:
                peaks.before = opened.live.executors.peaks()

        def fitted() -> None:
            peaks.after = opened.live.executors.peaks()
            watch.allow(limit)  # scoring is ours: the fit must not be blamed for its time

        request = fit_request(contender, self._assignment.protocol.warm_up, number)
        answer = reply.sample(fitter, request, opened.clock, self._folder, wait_for_go, fitted)
        memory: MemoryFigure | None = figure(peaks.before, peaks.after) if number == MEMORY_ROUND else None
        # The driver's own CPU time and quietness say nothing about the executors that did the work.
        evidence = Evidence(executors_lost=opened.live.executors.lost() - lost_before)
        return answer.model_copy(update={"memory": memory, "fit_cpu_seconds": None, "evidence": evidence})

    def _fitter(self, opened: _Open, contender: Contender) -> Fitter:
        name = contender.trial.algorithm
        if name not in opened.fitters:
            begun = time.monotonic()
            contender.adapter.open(opened.resources)
            opened.fitters[name] = (contender, Fitter(contender.adapter, opened.resources, opened.clock))
            earlier = opened.clock.phases.start or 0.0
            opened.clock.note("start", earlier + time.monotonic() - begun)
        return opened.fitters[name][1]

    def _failed(self, error: Exception, opened: _Open, watch: JobWatch) -> tuple[FitReply, bool]:
        if watch.ended == "cancelled":
            raise Cancelled from error
        phases = opened.clock.phases
        if watch.ended == "timeout":
            return FitReply(phases=phases, failure=self._timeout(opened, watch)), False
        diagnosis = diagnose(error, opened.clock.current, self._numbers(), partial(self._oom_kills, opened))
        if diagnosis is not None:
            return FitReply(phases=phases, failure=diagnosis.failure), diagnosis.outside
        return FitReply(phases=phases, failure=reply.failure(error, opened.clock)), False

    def _within_limits(self, answer: FitReply, opened: _Open, watch: JobWatch) -> FitReply:
        """A fit may also end by itself after its time, or within a user's limit that no container knows."""
        if watch.ended == "timeout":
            return FitReply(phases=answer.phases, failure=self._timeout(opened, watch))
        limit = self._assignment.memory_limit_bytes
        peak = answer.memory.peak_bytes if answer.memory is not None else 0
        if self._assignment.memory_limit_is_users and peak > limit:
            breach = Breach(FailureCode.MEMOUT, limit, peak)
            reached = Reached("fit", answer.phases)
            return FitReply(phases=answer.phases, failure=endings.breach_failure(breach, reached, limit_is_users=True))
        return answer

    def _timeout(self, opened: _Open, watch: JobWatch) -> Failure:
        limit = self._assignment.protocol.limits.sample_seconds
        breach = Breach(FailureCode.TIMEOUT, limit, max(limit, watch.elapsed))
        reached = Reached(opened.clock.current, opened.clock.phases)
        return endings.breach_failure(breach, reached, limit_is_users=True)

    def _numbers(self) -> dict[str, int | bool]:
        return {
            "executors": self._order.executors,
            "limit_bytes": self._order.executor_bytes,
            "limit_is_users": self._assignment.memory_limit_is_users,
        }

    def _oom_kills(self, opened: _Open) -> int:
        try:
            return oom_kills(opened.live.session, self._order.threads)
        except Exception as error:
            log.warning("executors do not tell of their memory", error=str(error))
            return 0

    def _end_session(self, *, orderly: bool = True) -> None:
        opened, self._open = self._open, None
        if opened is None:
            return
        for contender, _ in opened.fitters.values():
            try:
                contender.adapter.close()
            except Exception:
                # The session may be what is broken; its tables go with the attempt.
                if orderly:
                    raise
        opened.clock.close()
        self._sessions.stop()

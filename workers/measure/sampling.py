"""One sample of one trial: a child, its request, its end. Sessions keep their child from sample to sample."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from app.contracts.assignment import BatchAssignment, TrialAssignment
from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import MEMORY_ROUND, Environment, MemoryFigure, Sample
from app.contracts.states import Isolation
from workers.algorithms.adapter import Adapter
from workers.measure import cgroup, endings, phases
from workers.measure.control import Cancelled, Control
from workers.measure.memory import best_figure
from workers.measure.messages import LABELS_FILE, ChildMessage, FitReply, FitRequest, ForkRequest, Go, send
from workers.measure.nursery import START_SECONDS, Child, Nursery, NurseryLostError
from workers.measure.watchdog import Breach, Death, Watch

if TYPE_CHECKING:
    from workers.datasets.prepared import PreparedPoints

END_SECONDS = 5.0
"""How long a child may take to leave when its work is done."""
SESSION_END_SECONDS = 15.0


@dataclass(frozen=True)
class Contender:
    """A trial that can be measured here. `import_path` is set for adapters that the registry does not know."""

    trial: TrialAssignment
    adapter: Adapter[Any]
    data: PreparedPoints
    import_path: str | None = None

    @property
    def is_session(self) -> bool:
        return self.adapter.info.capabilities.session


@dataclass(frozen=True)
class Measured:
    """A sample, and in the memory pass what its child found; `labels` is valid until the next sample."""

    sample: Sample
    reply: FitReply
    labels: Path | None = None


class SampleSource(Protocol):
    """Where samples come from: children of this process, or executors of a cluster. Takes one at a time."""

    def measure(self, contender: Contender, number: int, order: int) -> Measured:
        """One sample of round `number`; once more if something outside ended it. Raises Cancelled."""
        ...

    def close(self, *, at_once: bool = False) -> None:
        """End all sessions; `at_once`: whatever they are doing."""
        ...


@dataclass
class _Session:
    child: Child
    fits: int = 0


class Sampler:
    """Measures samples, one at a time. Close it: sessions are processes."""

    def __init__(
        self, nursery: Nursery, assignment: BatchAssignment, environment: Environment, scratch: Path, control: Control
    ) -> None:
        self._nursery = nursery
        self._assignment = assignment
        self._threads = environment.threads
        self._scratch = scratch
        self._control = control
        self._sessions: dict[str, _Session] = {}
        self._last: Child | None = None
        memory = cgroup.folders("memory")
        self._oom_files = [memory[0] / name for name in ("memory.events", "memory.oom_control")] if memory else []
        self._oom_kills = self._count_oom_kills()

    def measure(self, contender: Contender, number: int, order: int) -> Measured:
        """One sample; once more if something outside ended its child. Raises Cancelled."""
        for repeated in (0, 1):  # noqa: B007 - it is the number of earlier tries afterwards
            started_at = datetime.now(UTC)
            reply, labels, worth_repeating = self._once(contender, number)
            if not worth_repeating:
                break
        sample = Sample(
            trial_id=contender.trial.trial_id,
            round=number,
            order=order,
            attempt=self._assignment.attempt,
            started_at=started_at,
            phases=reply.phases,
            fit_cpu_seconds=reply.fit_cpu_seconds,
            memory=reply.memory,
            evidence=reply.evidence,
            labels_sha256=reply.labels_sha256,
            failure=reply.failure,
            repeated=repeated,
        )
        return Measured(sample, reply, labels)

    def _once(self, contender: Contender, number: int) -> tuple[FitReply, Path | None, bool]:
        """(reply, labels, whether something outside ended it)."""
        self._forget_last()
        try:
            child, is_new = self._child(contender, number)
        except NurseryLostError as error:
            return FitReply(failure=Failure.of(FailureCode.INTERNAL, str(error))), None, True
        watch = Watch(self._nursery, child, self._assignment.memory_limit_bytes, self._control.cancelled)
        try:
            ended = self._converse(watch, child, contender, number, is_new=is_new)
        except BaseException:
            self._nursery.kill(child)
            self._part(child, contender, keep=False)
            raise
        if isinstance(ended, FitReply):
            reply, outside = self._completed(ended, watch, number), False
        else:
            reply = self._failed(ended, child)
            outside = endings.is_worth_repeating(ended, reply.failure)
        self._part(child, contender, keep=reply.failure is None)
        return reply, child.folder / LABELS_FILE if number == MEMORY_ROUND else None, outside

    def _child(self, contender: Contender, number: int) -> tuple[Child, bool]:
        """(child, whether it is new). Raises NurseryLostError, Cancelled."""
        name = contender.trial.algorithm
        session = self._sessions.get(name)
        if session is not None and number == MEMORY_ROUND and session.fits:
            # A JVM never gives memory back: a session that has fitted would hide what this trial needs.
            self._end_session(name)
            session = None
        if session is not None:
            session.fits += 1
            return session.child, False
        child = self._fork(contender)
        if contender.is_session:
            self._sessions[name] = _Session(child, fits=1)
        return child, True

    def _fork(self, contender: Contender) -> Child:
        deadline = time.monotonic() + START_SECONDS
        while not self._nursery.ready(0.05) and time.monotonic() < deadline:
            if self._control.cancelled.is_set():
                raise Cancelled
        request = ForkRequest(
            algorithm=contender.trial.algorithm,
            import_path=contender.import_path,
            threads=self._threads,
            memory_limit_bytes=self._assignment.memory_limit_bytes,
            folder=tempfile.mkdtemp(prefix="child-", dir=self._scratch.resolve()),
            requested_at=time.monotonic(),
        )
        try:
            return self._nursery.fork(request)
        except NurseryLostError:
            shutil.rmtree(request.folder, ignore_errors=True)
            raise

    def _converse(
        self, watch: Watch, child: Child, contender: Contender, number: int, *, is_new: bool
    ) -> FitReply | Breach | Death:
        limit = self._assignment.protocol.limits.sample_seconds
        watch.allow(limit)
        if is_new:
            said = watch.next_message()
            if isinstance(said, Breach | Death):
                return said
            if said.kind != "ready" or said.reply.failure is not None:
                return said.reply if said.reply.failure is not None else _unexpected(said)
            if contender.is_session:  # its start is not part of this sample, and has the same limit
                watch.allow(limit)
        with suppress(OSError):  # a child that is gone shows itself in the next message
            own_pod = self._assignment.isolation is Isolation.POD
            send(child.channel, fit_request(contender, self._assignment.protocol.warm_up, number, own_pod=own_pod))
        # In this order and once: a child could else extend its time for ever.
        expected = ["measuring", "fitted"] if number == MEMORY_ROUND else []
        while True:
            said = watch.next_message()
            if isinstance(said, Breach | Death):
                return said
            if said.kind == "result":
                return said.reply
            if said.kind not in expected[:1]:
                return _unexpected(said)
            expected.pop(0)
            if said.kind == "measuring":
                watch.begin_peak()
                with suppress(OSError):
                    send(child.channel, Go())
            else:
                watch.allow(limit)  # scoring is ours: the fit must not be blamed for its time

    def _completed(self, reply: FitReply, watch: Watch, number: int) -> FitReply:
        memory: MemoryFigure | None = None
        if reply.failure is None and number == MEMORY_ROUND:
            memory = best_figure(reply.memory, watch.peak)
        failure = reply.failure
        if failure is not None and failure.code is FailureCode.MEMOUT:
            numbers = endings.memory_numbers(
                self._assignment.memory_limit_bytes,
                watch.highest,
                limit_is_users=self._assignment.memory_limit_is_users,
            )
            failure = failure.model_copy(update={"detail": failure.detail | numbers})
        return reply.model_copy(update={"memory": memory, "failure": failure})

    def _failed(self, ended: Breach | Death, child: Child) -> FitReply:
        reached = phases.read_reached(child.status_file)
        if isinstance(ended, Breach):
            users = self._assignment.memory_limit_is_users
            return FitReply(phases=reached.phases, failure=endings.breach_failure(ended, reached, limit_is_users=users))
        before, self._oom_kills = self._oom_kills, self._count_oom_kills()
        failure = endings.death_failure(ended, child, reached, oom_kills=self._oom_kills - before)
        return FitReply(phases=reached.phases, failure=failure)

    def _count_oom_kills(self) -> int:
        return sum(cgroup.counters(file).get("oom_kill", 0) for file in self._oom_files)

    def _part(self, child: Child, contender: Contender, *, keep: bool) -> None:
        if contender.is_session and keep:
            return
        if contender.is_session:
            self._sessions.pop(contender.trial.algorithm, None)
        self._nursery.end(child, SESSION_END_SECONDS if contender.is_session else END_SECONDS)
        self._last = child

    def _end_session(self, name: str) -> None:
        child = self._sessions.pop(name).child
        self._nursery.end(child, SESSION_END_SECONDS)
        shutil.rmtree(child.folder, ignore_errors=True)

    def _forget_last(self) -> None:
        if self._last is not None:
            shutil.rmtree(self._last.folder, ignore_errors=True)
            self._last = None

    def close(self, *, at_once: bool = False) -> None:
        """End all sessions; `at_once` kills them."""
        for name in list(self._sessions):
            if at_once:
                self._nursery.kill(self._sessions[name].child)
            self._end_session(name)
        self._forget_last()


def _unexpected(said: ChildMessage) -> FitReply:
    return FitReply(failure=Failure.of(FailureCode.INTERNAL, f"the child said {said.kind!r} out of turn"))


def fit_request(contender: Contender, warm_up: int, number: int, *, own_pod: bool = False) -> FitRequest:
    """One sample of round `number`, in words for the process that fits."""
    trial, data = contender.trial, contender.data
    return FitRequest(
        parameters=trial.parameters,
        seed=trial.seed,
        points=str(data.points.resolve()),
        truth=str(data.truth.resolve()) if data.truth is not None else None,
        n=data.n,
        d=data.d,
        warm_up=warm_up,
        memory_pass=number == MEMORY_ROUND,
        own_pod=own_pod,
    )

"""The trials of one batch, measured in interleaved rounds, each saved when it is complete."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from app.contracts.assignment import BatchAssignment, Progress, TrialAssignment
from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import MEMORY_ROUND, Environment, Round, Sample, Scored
from workers.algorithms import registry
from workers.algorithms.adapter import Adapter
from workers.measure.control import Cancelled, Control, Drained
from workers.measure.nursery import Nursery
from workers.measure.parts import Piece, filled, kept_pieces
from workers.measure.result import TrialResult
from workers.measure.roundlog import RoundLog
from workers.measure.sampling import Contender, Measured, Sampler, SampleSource
from workers.measure.text import as_text

if TYPE_CHECKING:
    from workers.datasets.prepared import PreparedPoints

Item = TypeVar("Item")

__all__ = ["Cancelled", "Control", "Drained", "RoundLog", "TrialResult", "measure_block"]


def measure_block(  # noqa: PLR0917 - what a batch needs, each of another kind
    assignment: BatchAssignment,
    data: Mapping[UUID, PreparedPoints],
    log: RoundLog,
    environment: Environment,
    scratch: Path,
    control: Control,
    *,
    algorithms: Callable[[str], Adapter[Any]] | None = None,
    nursery: Nursery | None = None,
    source: SampleSource | None = None,
) -> dict[UUID, TrialResult]:
    """Measure what is not saved yet: round 0 (memory, labels, quality), then the timed rounds 1..protocol.rounds.

    `data` is keyed by trial. `scratch` must exist; nothing of ours is left in it. `algorithms` replaces the registry:
    its adapters must be importable classes without arguments. `nursery` may have been started before, to have its
    libraries imported in time, by the same thread; it is then left running. `source` takes samples elsewhere than in
    child processes of this one; it is closed.

    A trial that fails keeps its failure and is not measured again; the others go on. Raises Cancelled, Drained, and
    what `log` raises; no child is left then, and saved rounds remain. When it is drained or ended by a signal, the
    samples of the round that was begun are saved as a part of it, which the next attempt completes.
    """
    block = _Block(assignment, log, control)
    contenders = block.contenders(data, algorithms)
    if source is not None:
        block.measure_and_close(contenders, source)
        return block.results
    own = Nursery() if nursery is None else None
    used = nursery or own
    assert used is not None  # noqa: S101 - one of the two
    try:
        block.measure_and_close(contenders, Sampler(used, assignment, environment, scratch, control))
    finally:
        if own is not None:
            own.close()
    return block.results


class _Block:
    def __init__(self, assignment: BatchAssignment, log: RoundLog, control: Control) -> None:
        self._assignment = assignment
        self._log = log
        self._control = control
        self._done = 0
        self.results = {trial.trial_id: TrialResult() for trial in assignment.trials}

    def contenders(
        self, data: Mapping[UUID, PreparedPoints], algorithms: Callable[[str], Adapter[Any]] | None
    ) -> list[Contender]:
        """Trials that can be measured here; the others fail without a child."""
        able = []
        for trial in self._assignment.trials:
            found = _contender(trial, data[trial.trial_id], algorithms)
            if isinstance(found, Contender):
                able.append(found)
            else:
                self.results[trial.trial_id].failure = found
        return able

    def measure_and_close(self, contenders: list[Contender], sampler: SampleSource) -> None:
        finished = False
        try:
            self._measure(contenders, sampler)
            finished = True
        finally:
            sampler.close(at_once=not finished)

    def _measure(self, contenders: list[Contender], sampler: SampleSource) -> None:
        saved = self._log.saved()
        parts = kept_pieces(self._log.saved_parts())
        for number in range(self._assignment.protocol.rounds + 1):
            alive = [contender for contender in contenders if self._is_alive(contender.trial.trial_id)]
            if number in saved:
                self._done += len(saved[number].samples)
                self._adopt(saved[number], alive)
            elif alive:
                self._adopt(self._log.save(self._round(number, alive, sampler, parts.get(number, {}))), alive)

    def _is_alive(self, trial_id: UUID) -> bool:
        return self.results[trial_id].failure is None

    def _adopt(self, finished: Round, alive: list[Contender]) -> None:
        """Take over a saved round, ours or another attempt's."""
        for sample in finished.samples:
            result = self.results.get(sample.trial_id)
            if result is not None:
                result.samples.append(sample)
                result.failure = result.failure or sample.failure
        for scored in finished.scored:
            if scored.trial_id in self.results:
                self.results[scored.trial_id].scored = scored
        present = {sample.trial_id for sample in finished.samples}
        for contender in alive:
            if contender.trial.trial_id not in present:
                self.results[contender.trial.trial_id].failure = Failure.of(
                    FailureCode.NOT_AVAILABLE,
                    f"attempt {finished.attempt} saved round {finished.number} without this trial: "
                    "its worker could not run it",
                )

    def _round(self, number: int, alive: list[Contender], sampler: SampleSource, kept: Mapping[UUID, Piece]) -> Round:
        order = shuffled(alive, self._assignment.order_seed, number)
        total = self._done + len(alive) * (self._assignment.protocol.rounds - number + 1)
        template = Round(
            run_id=self._assignment.run_id,
            batch_id=self._assignment.batch_id,
            number=number,
            attempt=self._assignment.attempt,
            samples=[],
        )
        pieces: dict[UUID, Piece] = {}
        try:
            for place, contender in enumerate(order):
                trial = contender.trial
                if trial.trial_id not in kept:
                    self._stop_if_asked()
                    self._report(number, total, trial.trial_id)
                    pieces[trial.trial_id] = self._finish(sampler.measure(contender, number, place), trial)
                self._done += 1
        except BaseException as error:
            if pieces and _is_orderly(error):
                self._log.save_part(filled(template, pieces.values()))
            raise
        self._report(number, total, None)
        ids = [contender.trial.trial_id for contender in order]
        return filled(template, (kept[one] if one in kept else pieces[one] for one in ids))

    def _stop_if_asked(self) -> None:
        if self._control.cancelled.is_set():
            raise Cancelled
        if self._control.draining.is_set():
            raise Drained

    def _report(self, number: int, total: int, trial_id: UUID | None) -> None:
        self._control.progress(
            Progress(
                round=number,
                rounds=self._assignment.protocol.rounds,
                trial_id=trial_id,
                samples_done=self._done,
                samples_total=total,
            )
        )

    def _finish(self, measured: Measured, trial: TrialAssignment) -> Piece:
        """Check a good sample against the earlier ones; publish the labels of the memory pass."""
        sample, reply = measured.sample, measured.reply
        if sample.failure is not None:
            return Piece(sample)
        if sample.round != MEMORY_ROUND:
            return Piece(self._same_labels(sample))
        labels = measured.labels
        if reply.fingerprint is None or reply.quality is None or labels is None or not _is_plain_file(labels):
            failure = Failure.of(FailureCode.INTERNAL, "the child left no score or no labels")
            return Piece(sample.model_copy(update={"failure": failure}))
        begun = time.perf_counter()
        artifact = self._log.publish_labels(trial.trial_id, labels)
        upload = sample.phases.model_copy(update={"upload": time.perf_counter() - begun})
        scored = Scored(
            trial_id=trial.trial_id,
            fingerprint=reply.fingerprint,
            quality=reply.quality,
            labels=artifact,
            details=reply.details,
        )
        return Piece(sample.model_copy(update={"phases": upload}), scored)

    def _same_labels(self, sample: Sample) -> Sample:
        earlier = {other.labels_sha256 for other in self.results[sample.trial_id].samples}
        if not earlier or sample.labels_sha256 in earlier:
            return sample
        failure = Failure.of(
            FailureCode.INVALID_RESULT,
            "labels differ between rounds: the implementation is not deterministic on equal input",
            labels_sha256=[*sorted(str(value) for value in earlier), sample.labels_sha256],
        )
        return sample.model_copy(update={"failure": failure})


def shuffled(items: Sequence[Item], order_seed: int, number: int) -> list[Item]:
    """The order of a round, from the batch's seed and the round's number alone."""
    order = list(items)
    random.Random(f"{order_seed}/{number}").shuffle(order)  # noqa: S311 - no secret
    return order


def _is_orderly(error: BaseException) -> bool:
    """Drained, or a signal's exception, which Prefect's and Python's own make no Exception. Not: cancelled (nobody
    wants the samples), fenced (nothing may be written), or a defect (the store may be what failed)."""
    return isinstance(error, Drained) or not isinstance(error, Exception)


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _contender(
    trial: TrialAssignment, data: PreparedPoints, algorithms: Callable[[str], Adapter[Any]] | None
) -> Contender | Failure:
    try:
        adapter = (algorithms or registry.get)(trial.algorithm)
    except KeyError:
        return Failure.of(FailureCode.NOT_AVAILABLE, f"the algorithm {trial.algorithm!r} is not installed here")
    try:
        missing, unsupported = adapter.missing(), adapter.unsupported(trial.parameters, data.n, data.d)
    except Exception as error:
        # Third-party code in our own process: its defect must not end the other trials.
        return Failure.of(FailureCode.ADAPTER_ERROR, as_text(f"{type(error).__name__}: {error}"))
    if missing is not None:
        return Failure.of(FailureCode.NOT_AVAILABLE, missing)
    if unsupported is not None:
        return Failure.of(FailureCode.NOT_SUPPORTED, unsupported)
    path = None if algorithms is None else f"{type(adapter).__module__}:{type(adapter).__qualname__}"
    return Contender(trial, adapter, data, path)

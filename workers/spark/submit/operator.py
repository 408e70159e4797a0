"""A batch as one SparkApplication: submit, watch, tell, and see to it that nothing is left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from uuid import UUID

from app.contracts.assignment import NoteKind, Progress
from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import BatchReport, Outcome, Round, Sample
from app.contracts.objects import (
    ObjectMissingError,
    StoreUnavailableError,
    assignment_key,
    cancelled_key,
    outcome_key,
    rounds_prefix,
    tables_prefix,
)
from app.contracts.store import StoreConfig
from workers.measure.control import Cancelled, Drained
from workers.patient_store import PatientStore, once
from workers.publish.rounds import StoredRounds
from workers.settings import SparkSettings
from workers.spark.submit import status
from workers.spark.submit.application import application_name, labels, spark_application
from workers.spark.submit.applications import Applications, RefusedError, may_pass
from workers.spark.submit.interface import LostDriverError, Submission
from workers.spark.submit.order import Order
from workers.spark.submit.sizing import Sizes, sizes
from workers.spark.submit.status import Observation, PodView

END_SECONDS = 20.0
"""How long a driver may take to leave after its outcome is written, and any driver beyond its grace."""
_BATCH_LABELS = ("app.kubernetes.io/instance", "corepoint.io/batch")


@dataclass(frozen=True)
class OperatorSubmitter:
    """Success is what the store holds, whatever the application's state says."""

    settings: SparkSettings
    objects: StoreConfig
    store_seconds: float

    def measure(self, submission: Submission) -> BatchReport:
        return _Submitted(submission, self.settings, self.objects, self.store_seconds).measure()


@dataclass
class _Submitted:
    submission: Submission
    settings: SparkSettings
    objects: StoreConfig
    store_seconds: float
    executors: set[str] = field(default_factory=set)
    working: dict[str, PodView] = field(default_factory=dict)
    suspects: dict[str, str] = field(default_factory=dict)
    told: set[FailureCode] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.assignment = self.submission.assignment
        self.name = application_name(self.assignment)
        self.labels = labels(self.assignment, self.settings)
        self.pod_labels = {name: self.labels[name] for name in (*_BATCH_LABELS, "corepoint.io/attempt")}
        self.applications = Applications(self.settings.namespace)
        self.size = sizes(self.assignment, self.settings)

    def measure(self) -> BatchReport:
        try:
            self._submit()
            report = self._watch()
        except RefusedError as refused:
            return self._failed(refused.failure)
        except (Cancelled, Drained) as asked:
            if isinstance(asked, Cancelled):
                self._mark_cancelled()
            if self._withdraw():
                self._drop_tables()
            raise
        except LostDriverError:
            self._drop_tables()
            raise  # it has ended, and its log stays for a while
        except BaseException:
            # A signal's exception, or a defect of ours: no time to wait for the driver, which drops its tables itself.
            self.applications.delete(self.name)
            raise
        self._drop_tables()
        return report

    def _submit(self) -> None:
        assignment = self.assignment
        store = PatientStore(self.submission.store, self.submission.control, self.store_seconds)
        self._delete_earlier_attempts()
        order = _order(self.submission, self.size, self.settings)
        key = assignment_key(assignment.run_id, assignment.batch_id, assignment.attempt)
        store.put(key, order.model_dump_json().encode())
        is_new = self.applications.create(spark_application(assignment, self.size, self.settings, self.objects))
        verb = "submitted" if is_new else "found again"
        size = f"{self.size.executors} executors of {self.size.executor.bytes / 2**30:.1f} GiB"
        self._tell("spark_submitted", f"{verb} as SparkApplication {self.name}: {size}")

    def _delete_earlier_attempts(self) -> None:
        """Their worker is gone, or this attempt would not exist; two of them would slow each other down."""
        batch = {name: self.labels[name] for name in _BATCH_LABELS}
        for name in self.applications.names(batch):
            if name != self.name:
                self.applications.delete(name)

    def _watch(self) -> BatchReport:
        control = self.submission.control
        written_at: float | None = None
        while not control.cancelled.wait(self.settings.poll_seconds):
            if control.draining.is_set():
                raise Drained
            self._report_progress()
            seen = self._look()
            outcome = self._outcome()
            if outcome is not None:
                written_at = written_at or time.monotonic()
                if seen is None or seen.is_over or time.monotonic() - written_at > END_SECONDS:
                    return self._succeeded(outcome, seen)
            elif seen is not None and (failure := status.start_failure(seen, self.settings)) is not None:
                return self._failed(failure, seen)
            elif seen is not None and seen.is_over:
                return self._ended_without(seen)
        raise Cancelled

    def _look(self) -> Observation | None:
        """None: nothing can be said now. Raises LostDriverError when nothing of the application is there."""
        try:
            seen = self.applications.look(self.name, self.pod_labels)
        except Exception as error:
            if not may_pass(error):
                raise
            self.submission.log.warning("the Kubernetes API does not answer: %s", error)
            return None
        if seen is None:
            if self._outcome() is not None:
                return None
            text = f"SparkApplication {self.name} was deleted by somebody else"
            raise LostDriverError(Failure.of(FailureCode.LOST, text))
        new = [name for name in seen.executors if name not in self.executors]
        if new:
            self.executors.update(new)
            self._tell("spark_executors", f"executors run: {', '.join(new)}")
        self._note_troubles(seen)
        return seen

    def _note_troubles(self, seen: Observation) -> None:
        """What does not end the attempt, but people will want to know."""
        for name, why in status.still_lost(self.suspects, seen).items():
            text = f"executor {name} was lost: {why}; what was measured then is measured again"
            self._tell("spark_executor_lost", text)
        self.suspects = status.lost_executors(self.working, seen)
        self.working = seen.working
        waits = status.waits_for(seen)
        if waits is not None and waits.code not in self.told:
            self.told.add(waits.code)
            self._tell("spark_waits", f"{waits.code.value}: {waits.message}. {waits.hint}")

    def _outcome(self) -> BatchReport | None:
        assignment = self.assignment
        key = outcome_key(assignment.run_id, assignment.batch_id, assignment.attempt)
        try:
            return BatchReport.model_validate_json(self.submission.store.get(key))
        except ObjectMissingError:
            return None
        except StoreUnavailableError as error:
            self.submission.log.warning("the object store does not answer: %s", error)
            return None

    def _succeeded(self, report: BatchReport, seen: Observation | None) -> BatchReport:
        if seen is not None:
            self._tell("spark_ended", status.last_words(seen))
        return report

    def _ended_without(self, seen: Observation) -> BatchReport:
        # The driver's last write and its end may be seen in the wrong order: look once more.
        report = self._outcome()
        if report is not None:
            return self._succeeded(report, seen)
        self._log_tail(seen)
        if status.gave_back(seen):
            raise Drained(f"its driver was asked to stop: {status.last_words(seen)}")
        failure = status.end_failure(seen)
        if failure is None:
            loss = status.loss(seen)
            self._tell("spark_ended", f"{loss.code.value}: {loss.message}")
            raise LostDriverError(loss)
        return self._failed(failure, seen)

    def _failed(self, failure: Failure, seen: Observation | None = None) -> BatchReport:
        """The batch cannot be measured here, and a further attempt would meet the same."""
        self._tell("spark_ended", f"{failure.code}: {failure.message}")
        if seen is None or not seen.is_over:
            self.applications.delete(self.name)
        rounds = StoredRounds(self.submission.store, self.assignment).saved()
        return BatchReport(
            batch_id=self.assignment.batch_id,
            attempt=self.assignment.attempt,
            outcomes=[
                Outcome(trial_id=trial.trial_id, failure=failure, samples=_samples(rounds, trial.trial_id))
                for trial in self.assignment.trials
            ],
            environment=self.submission.environment,
        )

    def _mark_cancelled(self) -> None:
        """So that the driver does not finish its sample first. Best effort: it ends with its grace in any case."""
        assignment = self.assignment
        try:
            once(self.submission.store).put(
                cancelled_key(assignment.run_id, assignment.batch_id, assignment.attempt), b""
            )
        except StoreUnavailableError as error:
            self.submission.log.warning("the driver of %s cannot be told: %s", self.name, error)

    def _withdraw(self) -> bool:
        """Delete the application, and wait until its driver has saved what it has: the next attempt needs it."""
        self.applications.delete(self.name)
        deadline = time.monotonic() + self.settings.grace_seconds + END_SECONDS
        while time.monotonic() < deadline:
            try:
                seen = self.applications.look(self.name, self.pod_labels)
            except Exception as error:
                if not may_pass(error):
                    raise
            else:
                if seen is None or seen.driver is None or seen.driver.is_over:
                    return True
            time.sleep(self.settings.poll_seconds)
        self.submission.log.warning("the driver of %s has not ended", self.name)
        return False

    def _report_progress(self) -> None:
        """From the rounds in the store: a driver has no other way to tell."""
        assignment = self.assignment
        trials, rounds = len(assignment.trials), assignment.protocol.rounds
        try:
            saved = sum(1 for _ in self.submission.store.keys(rounds_prefix(assignment.run_id, assignment.batch_id)))
        except StoreUnavailableError:
            return
        self.submission.control.progress(
            Progress(
                round=min(saved, rounds),
                rounds=rounds,
                samples_done=saved * trials,
                samples_total=(rounds + 1) * trials,
            )
        )

    def _drop_tables(self) -> None:
        """A driver that was killed has left them. Not while one lives: its sample would fail, and be saved so."""
        assignment, store = self.assignment, self.submission.store
        try:
            for key in list(store.keys(tables_prefix(assignment.run_id, assignment.batch_id, assignment.attempt))):
                store.delete(key)
        except StoreUnavailableError as error:
            self.submission.log.warning("tables of %s are left in the store: %s", self.name, error)

    def _log_tail(self, seen: Observation) -> None:
        if seen.driver is not None and seen.driver.phase != "Pending":
            tail = self.applications.log_tail(seen.driver.name)
            self.submission.log.error("last lines of %s:\n%s", seen.driver.name, tail)

    def _tell(self, kind: NoteKind, message: str) -> None:
        self.submission.log.info("%s", message)
        self.submission.note(kind, message)


def _order(submission: Submission, size: Sizes, settings: SparkSettings) -> Order:
    return Order(
        assignment=submission.assignment.model_copy(update={"token": ""}),
        executors=size.executors,
        executor_cores=size.executor.cores,
        executor_bytes=size.executor.bytes,
        start_seconds=settings.start_seconds,
        grace_seconds=settings.grace_seconds,
    )


def _samples(rounds: dict[int, Round], trial_id: UUID) -> list[Sample]:
    return [one for number in sorted(rounds) for one in rounds[number].samples if one.trial_id == trial_id]

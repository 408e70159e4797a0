"""One attempt at a batch, step by step: fetch, measure, publish, report, and an orderly way out of each."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import httpx
import structlog

from app.contracts.assignment import BatchAssignment, Heartbeat, HeartbeatReply, Progress
from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import MEMORY_ROUND, BatchReport, Environment
from app.contracts.objects import ObjectStore
from workers.control_plane import ControlPlane, StaleAttemptError
from workers.draining import DrainFile
from workers.heartbeat import Heartbeats
from workers.measure.control import Cancelled, Control, Drained
from workers.settings import WorkerSettings
from workers.spark.submit import submitter
from workers.spark.submit.interface import Log, LostDriverError, Submission

log = structlog.get_logger()


class StoppedError(Exception):
    """The attempt ended before its work did: cancelled, given back, or fenced by a newer attempt of the batch."""


@dataclass
class Attempt:
    """A claimed batch on this worker."""

    control_plane: ControlPlane
    assignment: BatchAssignment
    environment: Environment
    store: ObjectStore
    settings: WorkerSettings

    def __post_init__(self) -> None:
        self._progress = Progress()
        draining = DrainFile(self.settings.drain_file)
        self._control = Control(cancelled=threading.Event(), progress=self._note, draining=draining)
        self._beats = Heartbeats(self._beat, self.assignment.heartbeat_seconds, self._control.cancelled)
        self._scratch = self.settings.scratch / str(self.assignment.batch_id)

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Heartbeats while it lasts. Whatever ends it early gives the batch back; saved rounds stay.

        Raises StoppedError when the control plane ended it.
        """
        self._scratch.mkdir(parents=True, exist_ok=True)
        try:
            with self._beats:
                yield
        except Cancelled as error:
            if self._beats.fenced:
                raise StoppedError("a newer attempt owns this batch") from error
            self.control_plane.release_batch(self.assignment, "cancelled")
            raise StoppedError("cancelled") from error
        except Drained as error:
            reason = str(error) or "its worker is stopping"
            self.control_plane.release_batch(self.assignment, reason)
            raise StoppedError(f"given back: {reason}") from error
        except LostDriverError as error:
            self._lose(error.failure)
            raise
        except Exception:
            # No release: an attempt that fails by itself counts, or a defect would be tried for ever.
            raise
        except BaseException as error:
            self.control_plane.release_batch(self.assignment, f"stopped by {type(error).__name__}")
            raise
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def measure(self, log: Log) -> BatchReport:
        """Measure the rounds that are missing, here or on Spark, then publish manifests and the attempt's outcome."""
        note = partial(self.control_plane.note_batch, self.assignment)
        submission = Submission(self.assignment, self.environment, self.store, self._control, note, log)
        try:
            return submitter(self.assignment, self.settings).measure(submission)
        except (Cancelled, Drained, LostDriverError):
            raise
        except Exception as error:
            self._lose(Failure.of(FailureCode.INTERNAL, f"{type(error).__name__}: {error}"))
            raise

    def report(self, report: BatchReport) -> None:
        self.control_plane.report_batch(self.assignment, report)

    def _lose(self, failure: Failure) -> None:
        """Best effort: without it the end of the flow run is noticed all the same, but not its reason."""
        try:
            self.control_plane.lose_batch(self.assignment, failure)
        except (httpx.HTTPError, StaleAttemptError) as error:
            log.warning("the end of the attempt was not heard", error=str(error), failure=failure.message)

    def _note(self, progress: Progress) -> None:
        is_next = progress.trial_id not in (None, self._progress.trial_id)
        self._progress = progress
        # In this round a trial first shows what it takes, and nothing is timed. Should the kernel end the pod now, the
        # control plane knows by whose doing.
        if is_next and progress.round == MEMORY_ROUND:
            self._beats.hasten()

    def _beat(self) -> HeartbeatReply:
        beat = Heartbeat(attempt=self.assignment.attempt, progress=self._progress)
        return self.control_plane.beat_batch(self.assignment, beat)

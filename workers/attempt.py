"""One attempt at a batch, step by step: fetch, measure, publish, report, and an orderly way out of each."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from app.contracts.assignment import BatchAssignment, Heartbeat, HeartbeatReply, Progress
from app.contracts.measurement import BatchReport, Environment
from app.contracts.objects import ObjectStore
from workers.control_plane import ControlPlane
from workers.draining import DrainFile
from workers.heartbeat import Heartbeats
from workers.measure.control import Cancelled, Control, Drained
from workers.settings import WorkerSettings
from workers.spark.submit import submitter
from workers.spark.submit.interface import Log, Submission


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
        self._scratch = self.settings.scratch / str(self.assignment.batch_id)

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Heartbeats while it lasts. Whatever ends it early gives the batch back; saved rounds stay.

        Raises StoppedError when the control plane ended it.
        """
        self._scratch.mkdir(parents=True, exist_ok=True)
        beats = Heartbeats(self._beat, self.assignment.heartbeat_seconds, self._control.cancelled)
        try:
            with beats:
                yield
        except Cancelled as error:
            if beats.fenced:
                raise StoppedError("a newer attempt owns this batch") from error
            self.control_plane.release_batch(self.assignment, "cancelled")
            raise StoppedError("cancelled") from error
        except Drained as error:
            self.control_plane.release_batch(self.assignment, "its worker is stopping")
            raise StoppedError("given back: this worker is stopping") from error
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
        return submitter(self.assignment, self.settings).measure(submission)

    def report(self, report: BatchReport) -> None:
        self.control_plane.report_batch(self.assignment, report)

    def _note(self, progress: Progress) -> None:
        self._progress = progress

    def _beat(self) -> HeartbeatReply:
        beat = Heartbeat(attempt=self.assignment.attempt, progress=self._progress)
        return self.control_plane.beat_batch(self.assignment, beat)

"""One attempt at a batch, step by step: fetch, measure, publish, report, and an orderly way out of each."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from app.contracts.assignment import BatchAssignment, Heartbeat, HeartbeatReply, Progress, TrialAssignment
from app.contracts.failures import Failure
from app.contracts.measurement import BatchReport, Environment
from app.contracts.objects import ObjectStore
from workers.control_plane import ControlPlane
from workers.datasets.errors import ArtifactCorrupt
from workers.datasets.fetch import fetch
from workers.datasets.prepared import PreparedPoints
from workers.heartbeat import Heartbeats
from workers.measure.block import TrialResult, measure_block
from workers.measure.control import Cancelled, Control
from workers.publish.manifest import publish
from workers.publish.rounds import StoredRounds
from workers.settings import WorkerSettings


class StoppedError(Exception):
    """The attempt ended before its work did: cancelled, or fenced because a newer attempt owns the batch."""


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
        self._control = Control(cancelled=threading.Event(), progress=self._note)
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
        except Exception:
            # No release: an attempt that fails by itself counts, or a defect would be tried for ever.
            raise
        except BaseException as error:
            self.control_plane.release_batch(self.assignment, f"stopped by {type(error).__name__}")
            raise
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def fetch(self) -> dict[UUID, PreparedPoints | Failure]:
        """The points of each trial as local files, or why there are none. Each dataset is brought once per worker."""
        return {trial.trial_id: self._points(trial) for trial in self.assignment.trials}

    def measure(self, data: Mapping[UUID, PreparedPoints | Failure]) -> BatchReport:
        """Measure the rounds that are missing, then publish manifests and the attempt's outcome."""
        points = {trial_id: found for trial_id, found in data.items() if not isinstance(found, Failure)}
        measurable = self.assignment.model_copy(
            update={"trials": [trial for trial in self.assignment.trials if trial.trial_id in points]}
        )
        rounds = StoredRounds(self.store, self.assignment)
        results = measure_block(measurable, points, rounds, self.environment, self._scratch, self._control)
        unread = {
            trial_id: TrialResult(failure=found) for trial_id, found in data.items() if isinstance(found, Failure)
        }
        return publish(self.store, self.assignment, {**results, **unread}, self.environment)

    def report(self, report: BatchReport) -> None:
        self.control_plane.report_batch(self.assignment, report)

    def _points(self, trial: TrialAssignment) -> PreparedPoints | Failure:
        try:
            return fetch(self.store, trial.dataset, trial.sample_size, trial.sample_seed, self.settings.cache)
        except ArtifactCorrupt as error:
            return error.failure

    def _note(self, progress: Progress) -> None:
        self._progress = progress

    def _beat(self) -> HeartbeatReply:
        beat = Heartbeat(attempt=self.assignment.attempt, progress=self._progress)
        return self.control_plane.beat_batch(self.assignment, beat)

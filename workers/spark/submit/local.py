"""No submission: the worker measures, in children of this process. Spark is then a local session of the adapter."""

from __future__ import annotations

from dataclasses import dataclass

from app.contracts.measurement import BatchReport
from workers.batch import fetch_points, measure_and_publish
from workers.settings import WorkerSettings
from workers.spark.submit.interface import Submission


@dataclass(frozen=True)
class LocalSubmitter:
    """A `Submitter` for every queue; for `spark` where there is no cluster to submit to."""

    settings: WorkerSettings

    def measure(self, submission: Submission) -> BatchReport:
        assignment, store = submission.assignment, submission.store
        data = fetch_points(store, assignment, self.settings.cache)
        scratch = self.settings.scratch / str(assignment.batch_id)
        return measure_and_publish(store, assignment, data, submission.environment, scratch, submission.control)

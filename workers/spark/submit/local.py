"""No submission: the worker measures, in children of this process. Spark is then a local session of the adapter."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from app.contracts.measurement import BatchReport
from workers.batch import fetch_points, measure_and_publish
from workers.measure.nursery import Nursery
from workers.patient_store import PatientStore
from workers.settings import WorkerSettings
from workers.spark.submit.interface import Submission


@dataclass(frozen=True)
class LocalSubmitter:
    """A `Submitter` for every queue; for `spark` where there is no cluster to submit to."""

    settings: WorkerSettings

    def measure(self, submission: Submission) -> BatchReport:
        assignment = submission.assignment
        store = PatientStore(submission.store, submission.control, self.settings.store_seconds)
        scratch = self.settings.scratch / str(assignment.batch_id)
        # Before the points are fetched: if none was forked for us, it imports its libraries meanwhile.
        with Nursery(self._given()) as nursery:
            data = fetch_points(store, assignment, self.settings.cache)
            return measure_and_publish(
                store, assignment, data, submission.environment, scratch, submission.control, nursery=nursery
            )

    def _given(self) -> socket.socket | None:
        descriptor = self.settings.nursery_descriptor
        return None if descriptor is None else socket.socket(fileno=descriptor)

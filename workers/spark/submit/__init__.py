"""How a claimed batch gets to Spark, and what becomes of it."""

from __future__ import annotations

from app.contracts.assignment import BatchAssignment
from app.contracts.states import QueueName
from workers.settings import WorkerSettings
from workers.spark.submit.interface import Submitter
from workers.spark.submit.local import LocalSubmitter


def submitter(assignment: BatchAssignment, settings: WorkerSettings) -> Submitter:
    """On the queue `spark` the one that the settings name; everywhere else the batch is measured where it is."""
    if assignment.queue is QueueName.SPARK and settings.spark.submitter == "operator":
        from workers.spark.submit.operator import OperatorSubmitter

        return OperatorSubmitter(settings.spark, settings.objects, settings.store_seconds)
    return LocalSubmitter(settings)

"""What every way to have a batch measured has in common."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.contracts.assignment import BatchAssignment, NoteKind
from app.contracts.failures import Failure
from app.contracts.measurement import BatchReport, Environment
from app.contracts.objects import ObjectStore
from workers.measure.control import Control

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


class LostDriverError(RuntimeError):
    """Spark ended, or vanished, without an outcome and without a reason that would be the batch's own. The attempt
    counts as lost, for this reason; the next one continues with the rounds that are missing."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True)
class Submission:
    """A claimed batch, and the ways to tell of it. `note` makes an event of the run and never fails."""

    assignment: BatchAssignment
    environment: Environment
    store: ObjectStore
    control: Control
    note: Callable[[NoteKind, str], None]
    log: Log


class Submitter(Protocol):
    """Has a batch measured: by this worker, by a Spark operator, or, one day, through Spark Connect."""

    def measure(self, submission: Submission) -> BatchReport:
        """Blocks until the outcome lies in the store. Raises Cancelled, Drained and LostDriverError; whatever ends
        it, nothing of the attempt runs on afterwards."""
        ...

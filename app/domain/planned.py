"""What goes into a plan and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.contracts.algorithm import Prediction
from app.contracts.dataset import DistanceSketch
from app.contracts.failures import Failure
from app.contracts.problems import ProblemCode, ProblemError
from app.contracts.states import Isolation, QueueName


class PlanError(Exception):
    """The specification cannot be planned. `errors` holds every place that could be named, the first one included."""

    def __init__(self, code: ProblemCode, pointer: str, message: str, errors: Sequence[ProblemError] = ()) -> None:
        super().__init__(f"{pointer}: {message}" if pointer else message)
        self.code = code
        self.pointer = pointer
        self.message = message
        self.errors = list(errors) or [ProblemError(pointer=pointer, message=message)]


@dataclass(frozen=True)
class DatasetFacts:
    """A prepared dataset version: n points in d dimensions."""

    name: str
    sha256: str
    n: int
    d: int
    sketch: DistanceSketch


@dataclass(frozen=True)
class QueueCapacity:
    """What one sample may use on a worker of this queue."""

    name: QueueName
    memory_bytes: int
    threads: int


@dataclass(frozen=True)
class Trial:
    """`predicted_bytes` is the whole sample (child, data, fit); `prediction` is the adapter's own, the fit alone.

    Exactly one of `queue` and `skipped` is set.
    """

    id: UUID
    position: int
    label: str
    algorithm: str
    parameters: dict[str, Any]
    problem: dict[str, Any]
    dataset: str
    dataset_sha256: str
    sample_size: int
    sample_seed: int
    seed: int
    is_reference: bool
    queue: QueueName | None
    isolation: Isolation
    routing: str
    prediction: Prediction | None
    predicted_bytes: int | None
    skipped: Failure | None


@dataclass(frozen=True)
class Batch:
    """`isolation` pod: one trial, in a pod of its own."""

    id: UUID
    position: int
    queue: QueueName
    isolation: Isolation
    trial_ids: tuple[UUID, ...]
    estimated_seconds: float
    order_seed: int


@dataclass(frozen=True)
class Plan:
    """Trials by position, the skipped ones included; batches hold every trial that is not skipped, once."""

    trials: tuple[Trial, ...]
    batches: tuple[Batch, ...]

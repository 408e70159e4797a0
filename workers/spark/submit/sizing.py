"""How large a driver, and how many executors of which size: from the estimates of a batch's trials, within settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.contracts.assignment import BatchAssignment, TrialAssignment
from workers.settings import SparkSettings

MIB = 2**20
_STEP = 64 * MIB
_EMPTY_EXECUTOR = 768 * MIB
"""A JVM and Python workers that have imported their libraries, without points."""
_DRIVER_BYTES_PER_POINT = 400
"""Labels, core flags, fingerprint and sampled quality, beside the points themselves."""
_SMALLEST_HEAP = 512 * MIB
"""Spark refuses executors below 450 MiB."""
_LARGEST_HEAP = 16 * 2**30


@dataclass(frozen=True)
class PodSize:
    """One container: Spark adds `heap_mib` and `overhead_mib`; Python workers and their points live in the latter."""

    cores: int
    heap_mib: int
    overhead_mib: int

    @property
    def bytes(self) -> int:
        return (self.heap_mib + self.overhead_mib) * MIB

    @classmethod
    def of(cls, cores: int, container_bytes: int) -> PodSize:
        """Half the container is heap, as in a local session; rounded up to whole steps."""
        whole = -(-container_bytes // _STEP) * _STEP
        heap = min(_LARGEST_HEAP, max(_SMALLEST_HEAP, whole // 2))
        return cls(cores, heap // MIB, (whole - heap) // MIB)


@dataclass(frozen=True)
class Sizes:
    driver: PodSize
    executor: PodSize
    executors: int


def sizes(assignment: BatchAssignment, settings: SparkSettings) -> Sizes:
    """Executors share what the largest trial is predicted to need: first more of them, then larger ones.

    A user's memory limit bounds all executors together. An estimate beyond the largest allowed cluster gets that one.
    """
    needed = max((trial.predicted_bytes or 0 for trial in assignment.trials), default=0)
    room = settings.executor_memory_max_bytes - _EMPTY_EXECUTOR
    count = _between(settings.executors, -(-needed // room), settings.executors_max)
    each = _between(
        settings.executor_memory_bytes, _EMPTY_EXECUTOR + -(-needed // count), settings.executor_memory_max_bytes
    )
    if assignment.memory_limit_is_users and count * each > assignment.memory_limit_bytes:
        each = max(settings.executor_memory_bytes, assignment.memory_limit_bytes // count)
        count = _between(1, assignment.memory_limit_bytes // each, count)
    return Sizes(_driver(assignment.trials, settings), PodSize.of(settings.executor_cores, each), count)


def _driver(trials: Sequence[TrialAssignment], settings: SparkSettings) -> PodSize:
    largest = max((one.sample_size * (8 * one.dataset.d + _DRIVER_BYTES_PER_POINT) for one in trials), default=0)
    wanted = settings.driver_memory_bytes + largest
    return PodSize.of(settings.driver_cores, min(wanted, settings.driver_memory_max_bytes))


def _between(low: int, wanted: int, high: int) -> int:
    return max(low, min(wanted, high))

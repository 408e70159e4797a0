"""What an algorithm must offer to be measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from app.contracts.algorithm import AlgorithmInfo, Prediction, Workload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pyspark.sql import SparkSession

    from workers.spark.tables import Tables


class Parameters(BaseModel):
    """Base of every adapter's parameters. Closed and frozen; NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class SparkCluster:
    """A session whose executors are pods, started and stopped by us, and where its tables are to lie."""

    session: SparkSession
    tables: Tables


@dataclass(frozen=True)
class Resources:
    """What one sample may use: on its worker, or, for a distributed algorithm on the queue spark, on `cluster`.

    `threads` are then those of all executors, `scratch` is the driver's, and `open` must take `cluster` instead of
    starting a session of its own.
    """

    threads: int
    memory_limit_bytes: int
    scratch: Path
    cluster: SparkCluster | None = None


@dataclass(frozen=True)
class Clustering:
    """labels: int64 (n,), noise -1. core: bool (n,). details: what the adapter wants to tell, JSON values only."""

    labels: NDArray[np.int64]
    core: NDArray[np.bool_]
    details: dict[str, Any] = field(default_factory=dict)


class Adapter(ABC, Generic[P]):
    """One algorithm. An instance lives in one child process: open, then warm_up and fit any number of times, close."""

    info: ClassVar[AlgorithmInfo]
    parameters: type[P]

    def canonical_parameters(self, values: dict[str, Any]) -> dict[str, Any]:
        """All parameters with their defaults, as JSON values. Raises pydantic.ValidationError."""
        return self.parameters.model_validate(values).model_dump(mode="json")

    @abstractmethod
    def predict(self, parameters: dict[str, Any], workload: Workload) -> Prediction:
        """Extra peak memory and time of one fit. Pure and cheap: the planner calls it for every trial."""

    def missing(self) -> str | None:
        """What this machine lacks, in one sentence; None if the algorithm can run here."""
        return None

    def unsupported(self, parameters: dict[str, Any], n: int, d: int) -> str | None:
        """Why this data is outside the capabilities; None if it is inside. Pure: the planner calls it."""
        limit = self.info.capabilities.max_dimensions
        if limit is not None and d > limit:
            return f"{self.info.name} takes at most {limit} dimensions, the data has {d}"
        return None

    def open(self, resources: Resources) -> None:
        """Start what is expensive to start (a Spark session). Timed apart, as the phase `start`."""

    def prepare(self, points: NDArray[np.float64], resources: Resources) -> None:
        """Bring float64 points (n, d) into the form `fit` reads, once. Untimed: part of the phase `load`.

        For what the implementation would find in place in real use (a Parquet table for Spark); never for work that
        belongs to the clustering. `fit` must also answer correctly without it.
        """

    @abstractmethod
    def fit(self, points: NDArray[np.float64], parameters: dict[str, Any], resources: Resources) -> Clustering:
        """Cluster float64 points (n, d). This call, and nothing else, is timed as `fit`."""

    def close(self) -> None:
        """Stop what `open` started."""

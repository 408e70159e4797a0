"""A small catalogue and specifications for the planner's tests: adapters are real ones, only their models are plain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from numpy import float64
from numpy.typing import NDArray
from pydantic import Field, model_validator

from app.contracts.algorithm import AlgorithmInfo, Capabilities, Prediction, Workload
from app.contracts.dataset import DistanceSketch
from app.contracts.experiment import ExperimentSpec
from app.contracts.states import QueueName
from app.domain.plan import DatasetFacts, QueueCapacity
from workers.algorithms.adapter import Adapter, Clustering, Parameters, Resources

GIB = 2**30
RUN = UUID(int=7)


class DensityParameters(Parameters):
    eps: float = Field(gt=0)
    min_samples: int = Field(default=5, ge=1)
    leaf_size: int = Field(default=30, ge=1)

    @model_validator(mode="after")
    def _leaf_holds_a_core_point(self) -> DensityParameters:
        if self.leaf_size == 13 and self.min_samples == 13:
            raise ValueError("thirteen and thirteen do not go together")
        return self


class SparkParameters(Parameters):
    eps: float = Field(gt=0)
    min_samples: int = Field(default=5, ge=1)
    partitions: int | None = Field(default=None, ge=1)


class PlainAdapter(Adapter[Any]):
    """Memory and time proportional to the neighbours; never fitted here."""

    def __init__(self, name: str, parameters: type[Parameters], *, distributed: bool = False) -> None:
        self.parameters = parameters
        self.info = AlgorithmInfo(  # type: ignore[misc]
            name=name,
            version="1",
            title=name,
            description="",
            library="",
            problem_parameters=["eps", "min_samples"],
            parameters_schema=parameters.model_json_schema(),
            capabilities=Capabilities(
                exact=True, parallel=False, distributed=distributed, session=False, max_dimensions=16
            ),
        )

    def predict(self, parameters: dict[str, Any], workload: Workload) -> Prediction:
        pairs = workload.n * workload.mean_neighbours
        return Prediction(peak_bytes=int(24 * pairs), fit_seconds=1e-6 * pairs / workload.threads)

    def fit(self, points: NDArray[float64], parameters: dict[str, Any], resources: Resources) -> Clustering:
        raise AssertionError("planning must not fit")


CATALOGUE: Mapping[str, Adapter[Any]] = {
    "tree": PlainAdapter("tree", DensityParameters),
    "brute": PlainAdapter("brute", DensityParameters),
    "spark": PlainAdapter("spark", SparkParameters, distributed=True),
}

QUEUES = (
    QueueCapacity(QueueName.DEFAULT, 6 * GIB, 2),
    QueueCapacity(QueueName.HIGH_MEMORY, 32 * GIB, 4),
    QueueCapacity(QueueName.SPARK, 8 * GIB, 4),
    QueueCapacity(QueueName.PRIORITY, 8 * GIB, 2),
)


def dataset(name: str = "cities", n: int = 100_000, d: int = 2) -> DatasetFacts:
    sketch = DistanceSketch(n=n, radii=[0.01, 0.1, 1.0], mean_neighbours=[2.0, 1 + n * 1e-4, 1 + n * 1e-2])
    return DatasetFacts(name, (name.encode().hex() * 64)[:64], n, d, sketch)


def spec(**changes: Any) -> ExperimentSpec:
    document: dict[str, Any] = {
        "name": "an-experiment",
        "datasets": ["cities"],
        "parameters": {"eps": 0.1},
        "algorithms": [{"algorithm": "tree"}, {"algorithm": "brute"}],
    }
    return ExperimentSpec.model_validate(document | changes)

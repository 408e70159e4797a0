"""Our exact distributed DBSCAN on Spark, as an adapter: one session per batch, Parquet in, labels out."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import Field

from app.contracts.algorithm import AlgorithmInfo, Capabilities, Prediction, Workload
from workers.algorithms.adapter import Adapter, Clustering, Resources
from workers.algorithms.sklearn_dbscan import PROBLEM_PARAMETERS, DbscanProblem, release

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workers.spark.clusterer import TableClusterer


class SparkDbscanParameters(DbscanProblem):
    partitions: int | None = Field(
        default=None, ge=1, le=10_000, strict=True, description="leaves of the plan; by default from n and the threads"
    )


class SparkDbscan(Adapter[SparkDbscanParameters]):
    """An instance holds one Spark session between `open` and `close`: a local one of its own, or the cluster's."""

    info = AlgorithmInfo(
        name="spark-dbscan",
        version=release(1, "pyspark"),
        title="Spark DBSCAN (corepoint)",
        description="Exact distributed DBSCAN: kd-tree partitions with halos, clustered apart, merged at borders.",
        library="pyspark",
        problem_parameters=PROBLEM_PARAMETERS,
        parameters_schema=SparkDbscanParameters.model_json_schema(),
        capabilities=Capabilities(
            exact=True, parallel=True, distributed=True, session=True, requires=["java", "pyspark"]
        ),
    )
    parameters = SparkDbscanParameters

    def __init__(self) -> None:
        self._clusterer: TableClusterer | None = None

    def predict(self, parameters: dict[str, Any], workload: Workload) -> Prediction:
        """The whole local session: JVM, Python workers, points. No neighbour lists are kept, so eps has no part.

        Fitted to sampled peaks of the process tree (PySpark 4.0.4, two threads, 20,000 to 1,000,000 2-d points:
        1.4 to 2.5 GB); the heap takes what it may before it collects garbage, so repeats differ by a third.
        """
        per_point = (10e-6 + 0.12e-6 * workload.mean_neighbours) * 1.4 ** min(16, max(0, workload.d - 2))
        return Prediction(
            peak_bytes=3 * 2**29 + workload.n * (700 + 48 * workload.d),
            fit_seconds=2.0 + workload.n * per_point / workload.threads,
        )

    def missing(self) -> str | None:
        from workers.spark.java import missing_java

        if find_spec("pyspark") is None:
            return "pyspark is not installed here"
        return missing_java()

    def open(self, resources: Resources) -> None:
        from workers.spark.clusterer import SparkClusterer, TableClusterer

        if self._clusterer is not None:
            return
        if resources.cluster is not None:
            cluster = resources.cluster
            self._clusterer = TableClusterer(cluster.session, cluster.tables, resources.threads)
        else:
            self._clusterer = SparkClusterer(
                resources.threads, resources.memory_limit_bytes, resources.scratch / "spark-dbscan"
            )

    def prepare(self, points: NDArray[np.float64], resources: Resources) -> None:
        self._opened(resources).prepare(points)

    def fit(self, points: NDArray[np.float64], parameters: dict[str, Any], resources: Resources) -> Clustering:
        chosen = self.parameters.model_validate(parameters)
        result = self._opened(resources).fit(points, chosen.eps, chosen.min_samples, leaves=chosen.partitions)
        return Clustering(result.labels, result.core, result.details)

    def close(self) -> None:
        if self._clusterer is not None:
            self._clusterer.close()
            self._clusterer = None

    def _opened(self, resources: Resources) -> TableClusterer:
        self.open(resources)
        assert self._clusterer is not None  # noqa: S101 - what `open` leaves, for the type checker
        return self._clusterer

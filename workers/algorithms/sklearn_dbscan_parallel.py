"""scikit-learn's DBSCAN with all threads of the worker: neighbour queries in parallel, the expansion on one."""

from __future__ import annotations

from app.contracts.algorithm import AlgorithmInfo, Capabilities
from workers.algorithms.sklearn_dbscan import (
    PROBLEM_PARAMETERS,
    SklearnDbscan,
    SklearnDbscanParameters,
    release,
)


class SklearnDbscanParallel(SklearnDbscan):
    """`n_jobs` is the worker's quota, never the node's number of cores."""

    info = AlgorithmInfo(
        name="sklearn-dbscan-parallel",
        version=release(1, "scikit-learn"),
        title="scikit-learn DBSCAN, all threads",
        description="sklearn.cluster.DBSCAN with n_jobs = the worker's threads. Exact; stores every neighbour list.",
        library="scikit-learn",
        problem_parameters=PROBLEM_PARAMETERS,
        parameters_schema=SklearnDbscanParameters.model_json_schema(),
        capabilities=Capabilities(exact=True, parallel=True, distributed=False, session=False),
    )

    def jobs(self, threads: int) -> int:
        return max(1, threads)

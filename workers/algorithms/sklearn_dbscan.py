"""scikit-learn's DBSCAN on one thread: the reference that the others are compared with."""

from __future__ import annotations

import math
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from app.contracts.algorithm import AlgorithmInfo, Capabilities, Prediction, Workload
from workers.algorithms.adapter import Adapter, Clustering, Parameters, Resources

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AUTO_TREE_DIMENSIONS = 15
"""Up to here scikit-learn's `auto` takes a tree (sklearn.neighbors.NearestNeighbors)."""
PROBLEM_PARAMETERS = ["eps", "min_samples"]


def release(revision: int, distribution: str) -> str:
    """The adapter's revision with the library's release, e.g. `1+scikit-learn-1.9.1`; read without importing it."""
    try:
        return f"{revision}+{distribution}-{version(distribution)}"
    except PackageNotFoundError:
        return str(revision)


class DbscanProblem(Parameters):
    """What defines DBSCAN's task, whoever solves it."""

    eps: float = Field(gt=0, strict=True, description="radius of the neighbourhood, inclusive, in units of the data")
    min_samples: int = Field(
        default=5, ge=1, le=2**31 - 1, strict=True, description="neighbours of a core point, itself included"
    )

    @field_validator("eps")
    @classmethod
    def _its_square_is_a_number(cls, eps: float) -> float:
        if eps * eps == 0.0 or math.isinf(eps * eps):
            raise ValueError("eps is so small or large that its square leaves float64; rescale the data")
        return eps


class SklearnDbscanParameters(DbscanProblem):
    metric: Literal["euclidean"] = "euclidean"
    algorithm: Literal["auto", "kd_tree", "ball_tree", "brute"] = Field(
        default="kd_tree", description="neighbour search; kd_tree is the reference, brute rounds distances differently"
    )
    leaf_size: int = Field(default=30, ge=1, le=1_000_000, strict=True, description="points in a leaf of the tree")


class SklearnDbscan(Adapter[SklearnDbscanParameters]):
    """One thread. Memory grows with n x mean neighbours: scikit-learn stores every neighbour list."""

    info = AlgorithmInfo(
        name="sklearn-dbscan",
        version=release(1, "scikit-learn"),
        title="scikit-learn DBSCAN",
        description="sklearn.cluster.DBSCAN with n_jobs=1. Exact; stores every neighbour list.",
        library="scikit-learn",
        problem_parameters=PROBLEM_PARAMETERS,
        parameters_schema=SklearnDbscanParameters.model_json_schema(),
        capabilities=Capabilities(exact=True, parallel=False, distributed=False, session=False),
    )
    parameters = SklearnDbscanParameters

    def jobs(self, threads: int) -> int:
        """scikit-learn's n_jobs when the worker may use `threads` threads."""
        return 1

    def predict(self, parameters: dict[str, Any], workload: Workload) -> Prediction:
        chosen = self.parameters.model_validate(parameters)
        return Prediction(
            peak_bytes=_peak_bytes(chosen, workload),
            fit_seconds=_fit_seconds(chosen, workload, self.jobs(workload.threads)),
        )

    def missing(self) -> str | None:
        return None if find_spec("sklearn") is not None else "scikit-learn is not installed here"

    def fit(self, points: NDArray[np.float64], parameters: dict[str, Any], resources: Resources) -> Clustering:
        import numpy as np
        from sklearn.cluster import DBSCAN

        chosen = self.parameters.model_validate(parameters)
        n_jobs = self.jobs(resources.threads)
        core = np.zeros(len(points), dtype=bool)
        if len(points) == 0:  # scikit-learn refuses an empty table; its clustering is empty
            return Clustering(np.empty(0, dtype=np.int64), core, {"n_jobs": n_jobs})
        model = DBSCAN(
            eps=chosen.eps,
            min_samples=chosen.min_samples,
            metric=chosen.metric,
            algorithm=chosen.algorithm,
            leaf_size=chosen.leaf_size,
            n_jobs=n_jobs,
        ).fit(points)
        core[model.core_sample_indices_] = True
        return Clustering(model.labels_.astype(np.int64, copy=False), core, {"n_jobs": n_jobs})


def _peak_bytes(chosen: SklearnDbscanParameters, workload: Workload) -> int:
    """Neighbour lists in buffers that double as they grow: 14.3 bytes per neighbour, 31 where brute force copies them.

    Fitted to peaks of VmHWM (scikit-learn 1.9.1, 20,000 to 400,000 points, 6 to 577 neighbours, 2 to 16 dimensions):
    within 15 %. The number of threads and of dimensions did not show.
    """
    neighbours = min(workload.mean_neighbours, float(workload.n))
    per_neighbour = 31.0 if _search(chosen, workload.d) == "brute" else 14.3
    return int(workload.n * (150 + per_neighbour * neighbours))


def _fit_seconds(chosen: SklearnDbscanParameters, workload: Workload, jobs: int) -> float:
    """A rough fit to the same runs, for planning batches only. A tree never takes longer than two full scans."""
    scan = 1.3e-9 * workload.n * workload.d
    if _search(chosen, workload.d) == "brute":
        per_point = scan + 2e-8 * workload.mean_neighbours
    else:
        search = (2.2e-6 + 0.72e-6 * math.sqrt(workload.mean_neighbours)) * max(1.0, workload.n / 1e5) ** 0.15
        per_point = min(search * 1.4 ** min(64, max(0, workload.d - 2)), search + 2 * scan)
    return workload.n * per_point * (0.35 + 0.65 / jobs)


def _search(chosen: SklearnDbscanParameters, d: int) -> str:
    if chosen.algorithm == "auto":
        return "kd_tree" if d <= AUTO_TREE_DIMENSIONS else "brute"
    return chosen.algorithm

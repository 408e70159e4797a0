"""The distributed DBSCAN as one DataFrame pipeline: points in, labels out, computed on executors.

One shuffle moves the points, a second the core points on borders. The driver sees a sample, the local clusters and the
distinct edges between them; nothing on it grows with n.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workers.spark import leaf_rows
from workers.spark.assign import assign
from workers.spark.merge import Numbering, number_clusters
from workers.spark.placement import slots
from workers.spark.plan import Plan, make_plan

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import DataFrame

SAMPLE = 50_000
POINTS_PER_LEAF = 250_000
LEAST_POINTS_PER_LEAF = 20_000
"""Below, halos and the start of a task cost more than a leaf gains."""
LEAVES_PER_THREAD = 2
MAX_NODES = 50_000_000
"""Local clusters that the driver may hold (32 bytes each)."""


@dataclass
class Outcome:
    """labels: DataFrame (id bigint, label bigint, core boolean), not yet computed; details: JSON values."""

    labels: DataFrame
    details: dict[str, Any]
    _results: DataFrame
    _numbering: Broadcast[Numbering]

    def free(self) -> None:
        """Give back what the cluster holds for `labels`, which cannot be computed afterwards."""
        self._results.unpersist()
        self._numbering.destroy()


def default_leaves(n: int, threads: int) -> int:
    """Leaves to plan for n points: enough for every thread and for memory, none too small."""
    wanted = max(LEAVES_PER_THREAD * threads, -(-n // POINTS_PER_LEAF))
    return max(1, min(wanted, n // LEAST_POINTS_PER_LEAF))


def cluster(
    points: DataFrame,
    eps: float,
    min_samples: int,
    d: int,
    *,
    leaves: int | None = None,
    least_width: float | None = None,
) -> Outcome:
    """Exact DBSCAN of `points` (id bigint, point binary of d little-endian float64), equal to scikit-learn's.

    Ids are distinct and not negative; their order is the row order that decides numbering. `leaves` is a wish:
    space is not cut where pieces would be narrower than `least_width` (4 eps by default). Only S1 to S5 are done when
    this returns. Raises ValueError for ids below 0, NaN, infinities or points of another width (inside Spark's error),
    RuntimeError if there are more local clusters than the driver may hold.
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "plan"):
        plan, n = _plan(points, eps, d, leaves, least_width)
    copies = points.mapInArrow(partial(_assign, plan=plan, d=d, slots=slots(plan.leaves)), leaf_rows.COPIES)
    results = (
        copies.repartition(plan.leaves, "slot")
        .mapInArrow(partial(_cluster, eps=eps, min_samples=min_samples, d=d), leaf_rows.RESULTS)
        .cache()
    )
    try:
        with _timed(seconds, "local"):
            counts, held = _leaf_counts(results, plan.leaves, n)
        with _timed(seconds, "merge"):
            edges = _edges(results)
            numbering = number_clusters(counts, _smallest_cores(results, counts), edges)
    except Exception:
        results.unpersist()
        raise
    shared = points.sparkSession.sparkContext.broadcast(numbering)
    own = results.where(results["kind"] <= leaf_rows.SHARED_CORE)
    details = {
        "leaves": plan.leaves,
        "replication": held / n if n else 1.0,
        "local_clusters": int(counts.sum()),
        "clusters": numbering.clusters,
        "cut_edges": len(edges),
        "phase_seconds": seconds,
    }
    return Outcome(own.mapInArrow(partial(_relabel, shared=shared), leaf_rows.LABELS), details, results, shared)


def _plan(points: DataFrame, eps: float, d: int, leaves: int | None, least_width: float | None) -> tuple[Plan, int]:
    from pyspark.sql import functions

    n = points.count()
    stride = max(1, n // SAMPLE)
    # By hash, not by row number: rows may lie in an order that a fixed step would meet in one place again and again.
    chosen = points.where(functions.pmod(functions.hash("id"), functions.lit(stride)) == 0).select("point")
    sample = leaf_rows.unpack_table(chosen.toArrow(), d)
    threads = points.sparkSession.sparkContext.defaultParallelism
    return make_plan(sample, eps, leaves or default_leaves(n, threads), least_width), n


def _assign(
    batches: Iterator[pa.RecordBatch], plan: Plan, d: int, slots: NDArray[np.int32]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        ids = batch["id"].to_numpy()
        if len(ids) and int(ids.min()) < 0:
            raise ValueError("an id is below 0")
        coordinates = leaf_rows.unpack(batch["point"], d)
        yield leaf_rows.copies(assign(plan, coordinates), ids, coordinates, slots)


def _cluster(batches: Iterator[pa.RecordBatch], eps: float, min_samples: int, d: int) -> Iterator[pa.RecordBatch]:
    held = list(batches)
    if held:
        for leaf in leaf_rows.leaves_of(pa.Table.from_batches(held), d):
            yield from leaf_rows.cluster_rows(leaf, eps, min_samples)


def _relabel(batches: Iterator[pa.RecordBatch], shared: Broadcast[Numbering]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        labels, core = leaf_rows.final_labels(batch, shared.value)
        yield pa.RecordBatch.from_arrays([batch["id"], pa.array(labels), pa.array(core)], names=["id", "label", "core"])


def _leaf_counts(results: DataFrame, leaves: int, n: int) -> tuple[NDArray[np.int64], int]:
    """Local clusters of each leaf (leaves,), and all copies; the action that computes and caches the results."""
    rows = results.where(results["kind"] >= leaf_rows.LEAF).select("kind", "leaf", "cluster", "id").toArrow()
    held = rows.filter(pc.equal(rows["kind"], leaf_rows.HELD))
    rows = rows.filter(pc.equal(rows["kind"], leaf_rows.LEAF))
    leaf = rows["leaf"].to_numpy()
    owned = int(rows["id"].to_numpy().sum())
    # A leaf that was split over partitions would be clustered in pieces, and wrongly: never let that pass.
    if len(np.unique(leaf)) != len(leaf) or owned != n:
        raise RuntimeError(f"the shuffle broke the leaves: {len(leaf)} parts own {owned} of {n} points")
    counts = np.zeros(leaves, dtype=np.int64)
    counts[leaf] = rows["cluster"].to_numpy()
    if int(counts.sum()) > MAX_NODES:
        raise RuntimeError(f"{int(counts.sum())} local clusters are more than the driver may hold ({MAX_NODES})")
    return counts, int(held["id"].to_numpy().sum())


def _smallest_cores(results: DataFrame, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    rows = results.where(results["kind"] == leaf_rows.CLUSTER).select("leaf", "cluster", "id").toArrow()
    base = np.cumsum(counts) - counts
    smallest = np.empty(int(counts.sum()), dtype=np.int64)
    smallest[base[rows["leaf"].to_numpy()] + rows["cluster"].to_numpy()] = rows["id"].to_numpy()
    return smallest


def _edges(results: DataFrame) -> NDArray[np.int64]:
    """S4: distinct (owner's leaf, owner's cluster, leaf, cluster) of core points that several leaves hold."""
    owners = results.where(results["kind"] == leaf_rows.SHARED_CORE).selectExpr(
        "id", "leaf as owner_leaf", "cluster as owner_cluster"
    )
    near = results.where(results["kind"] == leaf_rows.NEAR_CORE).select("id", "leaf", "cluster")
    columns = ["owner_leaf", "owner_cluster", "leaf", "cluster"]
    found = owners.join(near, "id").select(*columns).distinct().toArrow()
    return np.stack([found[column].to_numpy().astype(np.int64) for column in columns], axis=1)


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    begin = perf_counter()
    yield
    seconds[phase] = perf_counter() - begin

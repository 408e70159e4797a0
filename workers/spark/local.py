"""S3: DBSCAN inside one leaf, with scipy's kd tree. Pairs are looked at in chunks; no neighbour list is kept.

The tree only proposes: whatever lies so close to eps that its rounding could decide is decided by the squared distance
of the exactness contract. A faster kernel may take this module's place if it keeps `cluster_leaf`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from workers.evaluate.distances import search_radii, squared_distances

PAIRS_AT_ONCE = 2_000_000
"""About 100 MB of pairs. A chunk of one point may hold more, if the point has more neighbours."""


@dataclass(frozen=True)
class LeafClusters:
    """core (m,); cluster (m,): 0..clusters-1 in any order for core points, -1 for all others.

    touching_row, touching_cluster: every distinct (requested point, cluster with a core within eps), sorted.
    """

    core: NDArray[np.bool_]
    cluster: NDArray[np.int64]
    clusters: int
    touching_row: NDArray[np.int64]
    touching_cluster: NDArray[np.int64]


def cluster_leaf(
    points: NDArray[np.float64], eps: float, min_samples: int, requested: NDArray[np.bool_]
) -> LeafClusters:
    """Cluster float64 points (m, d) among themselves; `requested` (m,): whose touched clusters are wanted."""
    nothing = np.empty(0, dtype=np.int64)
    cluster = np.full(len(points), -1, dtype=np.int64)
    if len(points) == 0:
        return LeafClusters(np.empty(0, dtype=bool), cluster, 0, nothing, nothing)
    core, neighbours = _core_flags(points, eps, min_samples)
    cores = np.flatnonzero(core)
    if len(cores) == 0:
        return LeafClusters(core, cluster, 0, nothing, nothing)
    tree = cKDTree(points[cores])
    clusters, cluster[cores] = _components(points[cores], eps, tree, neighbours[cores])
    borders = np.flatnonzero(requested & ~core)
    found = [
        np.unique(np.stack([borders[a], cluster[cores[b]]], axis=1), axis=0)
        for a, b in _pairs(points[borders], points[cores], tree, eps, neighbours[borders])
    ]
    touching = np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)
    order = np.lexsort((touching[:, 1], touching[:, 0]))
    return LeafClusters(core, cluster, clusters, touching[order, 0], touching[order, 1])


def _core_flags(
    points: NDArray[np.float64], eps: float, min_samples: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Exact core flags, and for every point an upper bound of its number of neighbours."""
    tree = cKDTree(points)
    inner, outer = search_radii(points, eps)
    most = np.asarray(tree.query_ball_point(points, outer, return_length=True), dtype=np.int64)
    core = np.zeros(len(points), dtype=bool)
    maybe = np.flatnonzero(most >= min_samples)
    core[maybe] = tree.query_ball_point(points[maybe], inner, return_length=True) >= min_samples
    unsure = maybe[~core[maybe]]
    if len(unsure):
        counts = np.zeros(len(unsure), dtype=np.int64)
        for row, _ in _pairs(points[unsure], points, tree, eps, most[unsure]):
            counts += np.bincount(row, minlength=len(unsure))
        core[unsure] = counts >= min_samples
    return core, most


def _components(
    points: NDArray[np.float64], eps: float, tree: cKDTree, neighbours: NDArray[np.int64]
) -> tuple[int, NDArray[np.int64]]:
    """Components of the graph of all pairs within eps, united chunk by chunk."""
    component = np.arange(len(points))
    count = len(points)
    for a, b in _pairs(points, points, tree, eps, neighbours):
        ends = component[a], component[b]
        edges = coo_matrix((np.ones(len(a)), ends), shape=(count, count))  # repeated entries are added: no narrow type
        count, joined = connected_components(edges, directed=False)
        component = joined.astype(np.int64)[component]
    return count, component


def _pairs(
    queries: NDArray[np.float64],
    points: NDArray[np.float64],
    tree: cKDTree,
    eps: float,
    neighbours: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """All pairs (query, point) within eps, in chunks; `neighbours`: about how many each query has."""
    if len(queries) == 0:
        return
    _, outer = search_radii(points, eps)
    order = cKDTree(queries).indices  # neighbours in space are neighbours in a chunk
    bounds = np.flatnonzero(np.diff(np.cumsum(neighbours[order]) // PAIRS_AT_ONCE)) + 1
    for chunk in np.split(order, bounds):
        found = cKDTree(queries[chunk]).sparse_distance_matrix(tree, outer, output_type="ndarray")
        a, b = chunk[found["i"]], found["j"]
        within = squared_distances(queries[a], points[b]) <= eps * eps
        yield a[within], b[within]

"""S5 and S6: leaves' local clusters become global ones. Sizes here follow clusters and cut edges, never n."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

NO_CORE = np.iinfo(np.int64).max
"""Smallest own core id of a local cluster that has only copies."""


@dataclass(frozen=True)
class Numbering:
    """base (leaves,): first node of each leaf. label (nodes,): final label, at base[l] + c for cluster c of leaf l."""

    base: NDArray[np.int64]
    label: NDArray[np.int64]
    clusters: int

    def of(self, leaf: NDArray[np.integer[Any]], cluster: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Final labels of local clusters."""
        return np.take(self.label, np.take(self.base, leaf) + cluster)


def number_clusters(
    counts: NDArray[np.int64],
    smallest: NDArray[np.int64],
    edges: NDArray[np.int64],
) -> Numbering:
    """Unite local clusters and number the unions 0..k-1 by their smallest core id.

    counts (leaves,): local clusters of each leaf. smallest (nodes,): smallest own core id of each local cluster in the
    order of leaf and cluster, NO_CORE if it has none. edges (m, 4): leaf and cluster that own a core point, leaf and
    cluster that hold a copy of it.
    """
    base = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    nodes = int(base[-1])
    if nodes == 0:
        return Numbering(base[:-1], np.empty(0, dtype=np.int64), 0)
    ends = base[edges[:, 0]] + edges[:, 1], base[edges[:, 2]] + edges[:, 3]
    graph = coo_matrix((np.ones(len(edges)), ends), shape=(nodes, nodes))
    count, component = connected_components(graph, directed=False)
    first = np.full(count, NO_CORE, dtype=np.int64)
    np.minimum.at(first, component, smallest)
    rank = np.empty(count, dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(count)
    # A near copy that is core is core at its owner too, so every union holds an own core.
    if int(first.max()) == NO_CORE:
        raise RuntimeError("a cluster of copies alone: its owner does not know it")
    return Numbering(base[:-1], rank[component], count)

"""S1: how space is cut into leaves. A kd tree over a sample; pure numpy, deterministic.

The tree decides only how work is spread. Every tree gives the same clustering, so a poor sample costs time and nothing
else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIRECT_DIMENSIONS = 3
"""Up to here the coordinates themselves are cut; above, the sample's principal axes."""
PRINCIPAL_AXES = 4
MAX_REPLICATION = 3.0
"""Above so many copies per point (estimated on the sample) halos cost more than cutting gains: one leaf."""
LEAF = -1


@dataclass(frozen=True)
class Plan:
    """A binary tree of cuts. Node 0 is the root; arrays are indexed by node.

    axis: cut axis, LEAF at a leaf. cut: a point with coordinate < cut belongs to the left. left, right: child nodes.
    leaf: number of the leaf, -1 at inner nodes; leaves are numbered by falling number of sampled points.
    basis: (d, k), the axes that are cut, as columns; None: the coordinates themselves.
    """

    eps: float
    leaves: int
    axis: NDArray[np.int64]
    cut: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    leaf: NDArray[np.int64]
    basis: NDArray[np.float64] | None = None


class _Builder:
    """Grows the tree node by node; a leaf keeps how many sampled points it holds."""

    def __init__(self, eps: float, least_width: float) -> None:
        self.eps, self.least_width = eps, least_width
        self.axis: list[int] = []
        self.cut: list[float] = []
        self.left: list[int] = []
        self.right: list[int] = []
        self.held: list[int] = []

    def grow(self, sample: NDArray[np.float64], leaves: int) -> int:
        node = len(self.axis)
        self.axis.append(LEAF)
        self.cut.append(0.0)
        self.left.append(-1)
        self.right.append(-1)
        self.held.append(len(sample))
        found = self._find_cut(sample, leaves) if leaves > 1 and len(sample) > 1 else None
        if found is not None:
            axis, cut = found
            below = sample[:, axis] < cut
            to_left = min(leaves - 1, max(1, round(leaves * float(below.mean()))))
            self.axis[node], self.cut[node] = axis, cut
            self.left[node] = self.grow(sample[below], to_left)
            self.right[node] = self.grow(sample[~below], leaves - to_left)
        return node

    def _find_cut(self, sample: NDArray[np.float64], leaves: int) -> tuple[int, float] | None:
        low, high = sample.min(axis=0), sample.max(axis=0)
        for axis in np.argsort(low - high, kind="stable"):
            first, last = float(low[axis]), float(high[axis])
            if not last > first or last - first < 2 * self.least_width:
                return None  # axes come widest first
            values = sample[:, axis]
            rank = min(len(values) - 1, max(1, len(values) * (leaves // 2) // leaves))
            cut = float(np.partition(values, rank)[rank])
            cut = min(max(cut, first + self.least_width), last - self.least_width)
            if not cut > first:
                cut = float(values[values > first].min())
            if first < cut <= last:
                return int(axis), cut
        return None

    def plan(self, basis: NDArray[np.float64] | None) -> Plan:
        axis = np.array(self.axis, dtype=np.int64)
        nodes = np.flatnonzero(axis == LEAF)
        heaviest_first = nodes[np.argsort(-np.array(self.held)[nodes], kind="stable")]
        leaf = np.full(len(axis), -1, dtype=np.int64)
        leaf[heaviest_first] = np.arange(len(nodes))
        return Plan(
            eps=self.eps,
            leaves=len(nodes),
            axis=axis,
            cut=np.array(self.cut),
            left=np.array(self.left, dtype=np.int64),
            right=np.array(self.right, dtype=np.int64),
            leaf=leaf,
            basis=basis,
        )


def make_plan(sample: NDArray[np.float64], eps: float, leaves: int, least_width: float | None = None) -> Plan:
    """A plan of at most `leaves` leaves, no piece narrower than `least_width` (4 eps by default) where it is cut.

    sample: float64 (s, d), s may be 0. In more than three dimensions the principal axes of the sample are cut: an
    orthonormal projection never lengthens a distance, so halos tested there are large enough. Where the halos would
    replicate points more than `MAX_REPLICATION` times there is one leaf.
    """
    from workers.spark.assign import assign

    basis = _principal_axes(sample) if sample.shape[1] > DIRECT_DIMENSIONS else None
    builder = _Builder(eps, 4 * eps if least_width is None else least_width)
    builder.grow(project(sample, basis), leaves if len(sample) else 1)
    plan = builder.plan(basis)
    if plan.leaves > 1 and least_width is None and len(assign(plan, sample).row) > MAX_REPLICATION * len(sample):
        return make_plan(sample, eps, 1)
    return plan


def project(points: NDArray[np.float64], basis: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Points (m, d) on the axes that are cut (m, k). Summed axis by axis: a point never depends on its batch."""
    if basis is None:
        return points
    projected = np.zeros((len(points), basis.shape[1]))
    for axis in range(points.shape[1]):
        projected += points[:, axis, None] * basis[axis]
    return projected


def _principal_axes(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    d = sample.shape[1]
    count = min(PRINCIPAL_AXES, d)
    if len(sample) < 2:
        return np.eye(d, count)
    centred = sample - sample.mean(axis=0)
    centred /= np.abs(centred).max() or 1.0
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(vectors[:, ::-1][:, :count])

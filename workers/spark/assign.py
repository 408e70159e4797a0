"""S2: which leaves need which points. One vectorised descent of the tree per batch of points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.spark.plan import LEAF, Plan, project

OWN, NEAR, FAR = 0, 1, 2
"""A copy's place relative to the leaf's box: inside; within eps; within 2 eps on every axis."""
_ULP = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Assigned:
    """One entry per copy. row: index into the batch; shared: on own copies, some other leaf holds the point as near."""

    row: NDArray[np.int64]
    leaf: NDArray[np.int32]
    zone: NDArray[np.int8]
    shared: NDArray[np.bool_]


def assign(plan: Plan, points: NDArray[np.float64]) -> Assigned:
    """Copies of points (m, d) for every leaf whose box, widened by 2 eps, holds them; exactly one of them is own.

    Boxes are half-open and reach to infinity outside. Raises ValueError for NaN and infinities.
    """
    if not np.isfinite(points).all():
        raise ValueError("the points hold NaN or infinities")
    coordinates = project(points, plan.basis)
    slack = _rounding(points, plan)
    rows, leaves, zones = [], [], []
    waiting = [(0, np.arange(len(points)), np.zeros(len(points), dtype=np.int8))]
    while waiting:
        node, row, zone = waiting.pop()
        if plan.axis[node] == LEAF:
            rows.append(row)
            leaves.append(np.full(len(row), plan.leaf[node], dtype=np.int32))
            zones.append(zone)
            continue
        beyond = coordinates[row, plan.axis[node]] - plan.cut[node]
        widened = slack[row] + 8 * _ULP * abs(float(plan.cut[node]))
        for child, outside, is_own in (
            (plan.left[node], beyond, beyond < 0),
            (plan.right[node], -beyond, beyond >= 0),
        ):
            kept, kept_zone = _within(outside, is_own, zone, plan.eps, widened)
            if len(kept) or not rows:  # no points at all: still one, empty, answer
                waiting.append((int(child), row[kept], kept_zone))
    return _with_shared(len(points), np.concatenate(rows), np.concatenate(leaves), np.concatenate(zones))


def _within(
    outside: NDArray[np.float64],
    is_own: NDArray[np.bool_],
    zone: NDArray[np.int8],
    eps: float,
    slack: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Copies that one side of a cut keeps, and their zones; `outside`: how far beyond the cut a point lies."""
    here = np.where(is_own, OWN, np.where(outside <= eps + slack, NEAR, FAR)).astype(np.int8)
    kept = np.flatnonzero(is_own | (outside <= 2 * (eps + slack)))
    return kept, np.maximum(zone[kept], here[kept])


def _rounding(points: NDArray[np.float64], plan: Plan) -> NDArray[np.float64]:
    """What rounding may add to a distance along one axis, per point: the margin that keeps halos wide enough."""
    largest = np.abs(points).max(axis=1, initial=0.0) + plan.eps
    # A coordinate carries rounding only if it is a projection: one term per original axis.
    terms = 8 if plan.basis is None else 8 + 4 * points.shape[1] ** 1.5
    return np.asarray(1e-9 * plan.eps + terms * _ULP * largest)


def _with_shared(m: int, row: NDArray[np.int64], leaf: NDArray[np.int32], zone: NDArray[np.int8]) -> Assigned:
    near_elsewhere = np.bincount(row[zone == NEAR], minlength=m) > 0
    return Assigned(row=row, leaf=leaf, zone=zone, shared=(zone == OWN) & near_elsewhere[row])

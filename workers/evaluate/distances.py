"""The one distance test of the exactness contract: float64, squared, summed in the order of the axes, inclusive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ULP = float(np.finfo(np.float64).eps)


def squared_distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row-wise squared Euclidean distances (m,) of a (m, d) and b (m, d), rounded as scikit-learn's kd_tree does."""
    total = np.zeros(len(a))
    for axis in range(a.shape[1]):
        difference = a[:, axis] - b[:, axis]
        total += difference * difference
    return total


def search_radii(points: NDArray[np.float64], eps: float) -> tuple[float, float]:
    """Radii (inner, outer) around eps for a tree whose distances round differently from ours.

    A pair that the tree sees within `inner` is certainly within eps, one beyond `outer` certainly is not.
    """
    slack = eps * 1e-9 + 16 * _ULP * (float(np.abs(points).max()) if points.size else 0.0)
    return max(0.0, eps - slack), eps + slack

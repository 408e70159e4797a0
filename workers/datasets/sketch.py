"""The distance sketch: how many neighbours a point has on average, for any radius, without any n x n work.

Small radii are counted in a kd-tree of all points (few nodes are touched); large radii, and all radii in high
dimensions where a tree does not prune, in a random subsample, whose many hits make the estimate sharp.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.contracts.dataset import DistanceSketch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RADII = 40
_QUERIES = 512
# 512 x 20,000 distances take a tenth of a second and resolve neighbour counts above n / 20,000.
_SUBSAMPLE = 20_000
# In more dimensions a kd-tree no longer prunes; a larger subsample replaces it, as large as some 4 s allow.
_TREE_DIMENSIONS = 6
_LARGE_SUBSAMPLE = 100_000
_SMALLEST_SUBSAMPLE = 5_000
_DISTANCE_TERMS = 2_500_000_000
_TREE_POINTS = 4_000_000
# Estimates from this many hits are within some 2 % of the count.
_ENOUGH_HITS = 20_000
_CHUNK_DISTANCES = 4_000_000
_SMALLEST, _LARGEST = sys.float_info.min, sys.float_info.max


@dataclass(frozen=True)
class _Sampled:
    """near: points brought to about 1 and centred, (m, d); rows: where they stand among all n."""

    near: NDArray[np.float64]
    rows: NDArray[np.int64]


def sketch(points: NDArray[np.float64], seed: int = 0) -> DistanceSketch:
    """Of finite points (n, d), n >= 1. Deterministic by seed."""
    import numpy as np

    n, d = points.shape
    random = np.random.default_rng(seed)
    # By a power of two, which rounds nothing, so that squares neither overflow nor vanish; centred, so that data far
    # from the origin keep their digits. The 1: a difference of two values is up to twice as large as each.
    exponent = int(np.frexp(np.abs(points).max())[1]) + 1
    centre = np.ldexp(points[_rows(n, _SUBSAMPLE, random)], -exponent).mean(axis=0)

    def sampled(most: int) -> _Sampled:
        rows = _rows(n, most, random)
        return _Sampled(np.asarray(np.ldexp(points[rows], -exponent) - centre), rows)

    queries = sampled(_QUERIES)
    if d <= _TREE_DIMENSIONS:
        radii, means = _with_tree(queries, sampled(_SUBSAMPLE), sampled(_TREE_POINTS), n)
    else:
        affordable = max(_SMALLEST_SUBSAMPLE, min(_LARGE_SUBSAMPLE, _DISTANCE_TERMS // (_QUERIES * d)))
        radii, means = _without_tree(queries, sampled(affordable), n)
    means = np.maximum.accumulate(np.clip(means, 1.0, n))
    means[-1] = n
    return _in_own_unit(n, radii, means, exponent)


def _with_tree(
    queries: _Sampled, sample: _Sampled, everything: _Sampled, n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np
    from scipy.spatial import KDTree

    # Sliding midpoints build in a third of the time of medians, and do not degenerate when values repeat.
    tree = KDTree(everything.near, balanced_tree=False, compact_nodes=False)
    nearest, _ = tree.query(queries.near, k=[2, 3, 5, 9])
    radii = _radii(nearest, tree.maxes - tree.mins)
    hits = _hits(queries.near, sample.near, radii) - _own(queries, sample)
    means = _means(hits, queries, sample, n)
    small = hits < _ENOUGH_HITS
    counted = KDTree(queries.near).count_neighbors(tree, radii[small]) - _own(queries, everything)
    means[small] = _means(np.asarray(counted), queries, everything, n)
    return radii, means


def _without_tree(queries: _Sampled, sample: _Sampled, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np
    from scipy.spatial.distance import cdist

    some = cdist(queries.near, sample.near[: _CHUNK_DISTANCES // len(queries.near)])
    nearest = np.partition(some, min(9, some.shape[1]) - 1, axis=1)[:, :9]
    both = np.concatenate([sample.near, queries.near])
    radii = _radii(nearest, both.max(axis=0) - both.min(axis=0))
    return radii, _means(_hits(queries.near, sample.near, radii) - _own(queries, sample), queries, sample, n)


def _rows(n: int, most: int, random: np.random.Generator) -> NDArray[np.int64]:
    import numpy as np

    return random.choice(n, most, replace=False) if n > most else np.arange(n)


def _own(queries: _Sampled, sample: _Sampled) -> int:
    """Queries that stand in the sample: each finds itself there."""
    import numpy as np

    return int(np.isin(queries.rows, sample.rows, assume_unique=True).sum())


def _means(hits: NDArray[Any], queries: _Sampled, sample: _Sampled, n: int) -> NDArray[np.float64]:
    """The point itself, and its expected share of the n - 1 others."""
    import numpy as np

    pairs = len(queries.rows) * len(sample.rows) - _own(queries, sample)
    return np.asarray(1.0 + hits * ((n - 1) / max(pairs, 1)), np.float64)


def _radii(nearest: NDArray[np.float64], extent: NDArray[np.float64]) -> NDArray[np.float64]:
    """From about the distance of nearest neighbours to the longest that can be."""
    import numpy as np

    # 0.1 % beyond, so that rounding cannot leave out the farthest pair.
    longest = float(np.linalg.norm(extent)) * 1.001
    if longest == 0:
        return np.array([0.5, 1.0])
    apart = nearest[np.isfinite(nearest) & (nearest > 0)]
    shortest = float(np.quantile(apart, 0.01)) if len(apart) else longest
    return np.geomspace(min(shortest, longest / 2), longest, _RADII)


def _hits(asked: NDArray[np.float64], sample: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pairs within each radius, by all distances between `asked` and `sample`."""
    import numpy as np
    from scipy.spatial.distance import cdist

    found = np.zeros(len(radii) + 1, np.int64)
    step = max(1, _CHUNK_DISTANCES // len(asked))
    for start in range(0, len(sample), step):
        distances = np.sort(cdist(asked, sample[start : start + step], "sqeuclidean"), axis=None)
        found[:-1] += np.searchsorted(distances, radii**2, side="right")
    return found[:-1]


def _in_own_unit(n: int, radii: NDArray[np.float64], means: NDArray[np.float64], exponent: int) -> DistanceSketch:
    """Radii that leave the range of float64 in the data's own unit (values near 1e308 or 1e-308) become its bounds."""
    import numpy as np

    with np.errstate(over="ignore", under="ignore"):
        own = np.minimum(np.ldexp(radii, exponent), _LARGEST)
    kept = np.flatnonzero((own > 0) & np.concatenate([[True], own[1:] > own[:-1]]))
    if len(kept) < 2:
        tiny = own[-1] < _SMALLEST
        own = np.array([_SMALLEST, 2 * _SMALLEST] if tiny else [_LARGEST / 2, _LARGEST])
        means = np.array([n if tiny else 1.0, n])
        kept = np.arange(2)
    means[kept[-1]] = n
    return DistanceSketch(n=n, radii=own[kept].tolist(), mean_neighbours=means[kept].tolist())

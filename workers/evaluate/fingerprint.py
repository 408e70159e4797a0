"""What makes two clusterings the same, order-independently: core set, core partition, noise set, lawful borders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from app.contracts.measurement import Fingerprint
from workers.evaluate.canonical import canonical_labels, flags_sha256, labels_sha256
from workers.evaluate.distances import search_radii, squared_distances


def fingerprint(
    points: NDArray[np.float64], labels: NDArray[np.int64], core: NDArray[np.bool_], eps: float | None
) -> Fingerprint:
    """Hashes of a clustering of points (n, d); `eps` None leaves the borders unchecked."""
    canonical = canonical_labels(labels, core)
    return Fingerprint(
        core_sha256=flags_sha256(core),
        partition_sha256=labels_sha256(canonical[core]),
        noise_sha256=flags_sha256(canonical < 0),
        labels_sha256=labels_sha256(canonical),
        inadmissible_borders=None if eps is None else inadmissible_borders(points, canonical, core, eps),
    )


def inadmissible_borders(
    points: NDArray[np.float64], labels: NDArray[np.int64], core: NDArray[np.bool_], eps: float
) -> int:
    """Clustered points that are not core and have no core point of their own cluster within eps."""
    border = np.flatnonzero((labels >= 0) & ~core)
    cores = np.flatnonzero(core)
    if len(border) == 0:
        return 0
    if len(cores) == 0:
        return len(border)
    # One more axis keeps clusters farther apart than eps and adds nothing between points of one cluster, so that the
    # nearest core found is the nearest of the own cluster.
    inner, outer = search_radii(points, eps)
    apart = 4.0 * outer * labels[:, None]
    tree = cKDTree(np.hstack([points[cores], apart[cores]]), balanced_tree=False)
    queries = np.hstack([points[border], apart[border]])
    distance, _ = tree.query(queries, k=1, distance_upper_bound=np.nextafter(outer, np.inf))
    bad = int(np.count_nonzero(distance > outer))
    for row in np.flatnonzero((distance > inner) & (distance <= outer)):
        near = np.asarray(tree.query_ball_point(queries[row], outer), dtype=np.int64)
        own = np.broadcast_to(points[border[row]], (len(near), points.shape[1]))
        bad += not bool((squared_distances(own, points[cores[near]]) <= eps * eps).any())
    return bad

"""One numbering for equal clusterings: clusters ranked by their smallest core row, as scikit-learn numbers them."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def canonical_labels(labels: NDArray[np.int64], core: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Labels int64 (n,) with clusters renumbered 0..k-1 by smallest core row; noise -1.

    Clusters without a core point, which density clusterings do not have, follow in the order of their first row.
    """
    clustered = np.flatnonzero(labels >= 0)
    canonical = np.full(len(labels), -1, dtype=np.int64)
    if len(clustered) == 0:
        return canonical
    names, first, which = np.unique(labels[clustered], return_index=True, return_inverse=True)
    n = len(labels)
    smallest = n + clustered[first]
    np.minimum.at(smallest, which, np.where(core[clustered], clustered, 2 * n))
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.argsort(smallest)] = np.arange(len(names))
    canonical[clustered] = rank[which]
    return canonical


def labels_sha256(canonical: NDArray[np.int64]) -> str:
    """sha256 (hex) of canonical labels as little-endian int64, in row order."""
    return hashlib.sha256(np.ascontiguousarray(canonical, dtype="<i8").data).hexdigest()


def flags_sha256(flags: NDArray[np.bool_]) -> str:
    """sha256 (hex) of flags packed eight to a byte, the first row in the highest bit."""
    return hashlib.sha256(np.packbits(flags).data).hexdigest()

"""How alike two labelings are, in three declared ways to treat noise (scikit-learn's ARI and AMI)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.contracts.measurement import Agreement

MAX_AMI_WORK = 10**8
"""Bound on min(clusters) x points, the steps of AMI's expected value: a few seconds."""


def agreement(a: NDArray[np.int64], b: NDArray[np.int64]) -> Agreement:
    """ARI and AMI of two labelings int64 (n,); negative labels are noise.

    A figure is None if no point takes part in it, an AMI also if it would take more than `MAX_AMI_WORK` steps.
    Raises ValueError if the lengths differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"labelings of {len(a)} and {len(b)} points cannot be compared")
    both = (a >= 0) & (b >= 0)
    cluster_ari, cluster_ami = _indices(_noise_as_cluster(a), _noise_as_cluster(b))
    single_ari, single_ami = _indices(_noise_as_singletons(a), _noise_as_singletons(b))
    clustered_ari, clustered_ami = _indices(a[both], b[both])
    return Agreement(
        noise_as_cluster_ari=cluster_ari,
        noise_as_cluster_ami=cluster_ami,
        noise_as_singletons_ari=single_ari,
        noise_as_singletons_ami=single_ami,
        clustered_only_ari=clustered_ari,
        clustered_only_ami=clustered_ami,
        coverage=float(both.mean()) if len(a) else 0.0,
    )


def _noise_as_cluster(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.maximum(labels, -1)


def _noise_as_singletons(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    own = labels.copy()
    noise = np.flatnonzero(labels < 0)
    own[noise] = np.arange(len(noise)) + (labels.max(initial=0) + 1)
    return own


def _indices(a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[float | None, float | None]:
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    if len(a) == 0:
        return None, None
    work = min(len(np.unique(a)), len(np.unique(b))) * len(a)
    ami = float(adjusted_mutual_info_score(a, b)) if work <= MAX_AMI_WORK else None
    return float(adjusted_rand_score(a, b)), ami

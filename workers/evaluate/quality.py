"""Plain figures of one clustering: clusters, noise, a sampled silhouette, agreement with the truth if there is one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.contracts.measurement import Agreement, Quality
from workers.evaluate.agreement import MAX_AMI_WORK, agreement

SILHOUETTE_POINTS = 5_000
"""The silhouette is quadratic: it is taken of at most so many points."""


def quality(
    points: NDArray[np.float64],
    labels: NDArray[np.int64],
    core: NDArray[np.bool_],
    truth: NDArray[np.int64] | None,
    seed: int,
) -> Quality:
    """Figures of labels int64 (n,), noise -1, of points (n, d); `truth` int64 (n,) with noise negative.

    The silhouette leaves noise out and is a mean over a sample stratified by cluster, drawn with `seed`.
    """
    reasons: dict[str, str] = {}
    chosen, why_not = silhouette_sample(labels, seed)
    if why_not is not None:
        reasons["silhouette"] = why_not
    against = None if truth is None else agreement(labels, truth)
    if against is None:
        reasons["truth"] = "the dataset has no true clusters"
    else:
        reasons |= _missing_figures(against)
    return Quality(
        clusters=len(np.unique(labels[labels >= 0])),
        core_points=int(np.count_nonzero(core)),
        noise_share=float((labels < 0).mean()) if len(labels) else 0.0,
        silhouette=_silhouette(points, labels, chosen) if why_not is None else None,
        silhouette_points=len(chosen),
        truth=against,
        reasons=reasons,
    )


def silhouette_sample(labels: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], str | None]:
    """Rows (m,), m <= SILHOUETTE_POINTS, in proportion to the clusters' sizes; or none, and the reason."""
    nothing = np.empty(0, dtype=np.int64)
    clustered = np.flatnonzero(labels >= 0)
    names, which, sizes = np.unique(labels[clustered], return_inverse=True, return_counts=True)
    if len(names) < 2:
        return nothing, "fewer than 2 clusters"
    if len(clustered) <= len(names):
        return nothing, "no cluster has two points"
    if 2 * len(names) > SILHOUETTE_POINTS:
        return nothing, f"{len(names)} clusters are too many for a sample of {SILHOUETTE_POINTS} points"
    shuffled = np.random.default_rng(seed).permutation(len(clustered))
    by_cluster = shuffled[np.argsort(which[shuffled], kind="stable")]
    starts = np.cumsum(sizes) - sizes
    place = np.arange(len(clustered)) - starts[which[by_cluster]]
    kept = by_cluster[place < _quotas(sizes)[which[by_cluster]]]
    return np.sort(clustered[kept]), None


def _quotas(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Points to take of each cluster: at least two where it has two, so that each has a silhouette at all."""
    total = int(sizes.sum())
    if total <= SILHOUETTE_POINTS:
        return sizes
    least = np.minimum(sizes, 2)
    spare = SILHOUETTE_POINTS - int(least.sum())
    rest = sizes - least
    return np.asarray(least + rest * spare // max(1, int(rest.sum())), dtype=np.int64)


def _silhouette(points: NDArray[np.float64], labels: NDArray[np.int64], chosen: NDArray[np.int64]) -> float:
    from sklearn import config_context
    from sklearn.metrics import silhouette_samples

    with config_context(working_memory=64):  # MiB: scoring must not need more memory than the fit did
        values = silhouette_samples(np.asarray(points[chosen]), labels[chosen])
    # Small clusters are sampled more densely than large ones: each counts by its size in the whole, not in the sample.
    _, which, drawn = np.unique(labels[chosen], return_inverse=True, return_counts=True)
    _, sizes = np.unique(labels[labels >= 0], return_counts=True)
    return float(np.average(values, weights=(sizes / drawn)[which]))


def _missing_figures(against: Agreement) -> dict[str, str]:
    reasons = {}
    if against.coverage == 0.0:
        reasons["truth.clustered_only"] = "no point is clustered on both sides"
    if against.noise_as_singletons_ami is None:
        reasons["truth.noise_as_singletons_ami"] = f"more than {MAX_AMI_WORK:.0e} steps: too much noise on both sides"
    return reasons

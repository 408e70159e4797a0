"""What a trial will need, before it runs: neighbours from the distance sketch, bytes from the adapter's model."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from math import exp, log
from typing import Any, Final

from app.contracts.algorithm import Prediction, Workload
from app.contracts.dataset import DistanceSketch
from app.domain.catalogue import Algorithm
from app.domain.planned import DatasetFacts

CHILD_BASELINE_BYTES: Final = 160 * 2**20
"""Resident memory of a sample's child before it touches data: interpreter, numpy, scipy and scikit-learn imported."""

_BYTES_PER_COORDINATE: Final = 8


@dataclass(frozen=True)
class Estimate:
    """`total_bytes` is the whole sample and compares with a measured peak; `fit` is the adapter's part of it."""

    fit: Prediction
    total_bytes: int


def estimate(
    algorithm: Algorithm,
    parameters: dict[str, Any],
    dataset: DatasetFacts,
    sample_size: int,
    *,
    threads: int,
    baseline_bytes: int = CHILD_BASELINE_BYTES,
) -> Estimate:
    """Bytes and seconds of one sample: `sample_size` points of `dataset`, canonical `parameters`."""
    eps = parameters.get("eps")
    near = neighbours(dataset.sketch, float(eps), sample_size) if isinstance(eps, int | float) else 1.0
    fit = algorithm.predict(
        parameters, Workload(n=sample_size, d=dataset.d, mean_neighbours=near, threads=max(1, threads))
    )
    # The data is memory-mapped, but a fit touches all of it, so all of it is resident at the peak.
    data_bytes = _BYTES_PER_COORDINATE * sample_size * dataset.d
    return Estimate(fit, baseline_bytes + data_bytes + fit.peak_bytes)


def neighbours(sketch: DistanceSketch, eps: float, sample_size: int) -> float:
    """Mean points within `eps` (the point itself included) among `sample_size` rows drawn from the sketched ones.

    Log-log interpolation of the sketch, continued with the slope at its ends; never falls when eps or size grows.
    """
    others = min(_others(sketch, eps), max(0.0, sketch.n - 1.0))
    return others * (min(sample_size, sketch.n) / sketch.n) + 1.0


def _others(sketch: DistanceSketch, eps: float) -> float:
    # The maximum so far: a sampled sketch that dips by chance must not make a larger eps look cheaper.
    counts = accumulate((max(0.0, mean - 1.0) for mean in sketch.mean_neighbours), max)
    curve = [(radius, count) for radius, count in zip(sketch.radii, counts, strict=True) if radius > 0]
    if not curve or eps <= 0:
        return 0.0
    if len(curve) == 1:
        return curve[0][1]
    right = min(max(bisect_right(curve, eps, key=lambda point: point[0]), 1), len(curve) - 1)
    return _on_segment(curve[right - 1], curve[right], eps)


def _on_segment(left: tuple[float, float], right: tuple[float, float], eps: float) -> float:
    (r0, c0), (r1, c1) = left, right
    if c0 <= 0:
        # No logarithm of zero: a straight line from the last radius that still had no neighbour.
        return max(0.0, c1 * (eps - r0) / (r1 - r0))
    if log(r1) == log(r0):  # radii that differ by less than a logarithm can tell
        return c1
    slope = (log(c1) - log(c0)) / (log(r1) - log(r0))
    # Far outside the sketch the power law overflows a float long before the cap at n applies.
    return exp(min(700.0, log(c0) + slope * (log(eps) - log(r0))))

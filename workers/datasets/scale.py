"""Declared scaling, and column figures that do not overflow at 1e308."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Scaling = Literal["none", "common", "standard", "minmax"]


@dataclass(frozen=True)
class Figures:
    """Per column, each (d,) float64; `deviation` is the population's."""

    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


def figures(points: NDArray[np.float64]) -> Figures:
    """Of finite points (n, d). Sums are made of values brought to about 1 by powers of two, which round nothing."""
    import numpy as np

    minimum, maximum = points.min(axis=0), points.max(axis=0)
    mean, deviation = np.empty_like(minimum), np.empty_like(minimum)
    for column in range(points.shape[1]):
        exponent = _exponent(max(abs(minimum[column]), abs(maximum[column])))
        near_one = np.ldexp(points[:, column], -exponent)
        mean[column] = np.ldexp(near_one.mean(), exponent)
        deviation[column] = np.ldexp(near_one.std(), exponent)
    # A mean of equal values may round off by one bit, which would make a constant column vary.
    constant = minimum == maximum
    mean[constant], deviation[constant] = minimum[constant], 0.0
    return Figures(minimum, maximum, np.clip(mean, minimum, maximum), deviation)


def scale(points: NDArray[np.float64], scaling: Scaling) -> NDArray[np.float64]:
    """Finite points (n, d) -> float64 (n, d), finite, C order.

    common: column means to 0, then one factor for all columns (root of the mean variance to 1).
    standard: each column to mean 0 and deviation 1. minmax: each column to 0..1. Constant columns become 0.
    """
    import numpy as np

    if scaling == "none":
        return points
    exponent = _exponent(np.abs(points).max())
    exponents = np.full(points.shape[1], exponent)
    if scaling != "common":
        exponents = np.array([_exponent(largest) for largest in np.abs(points).max(axis=0)])
    near_one: NDArray[np.float64] = np.ldexp(points, -exponents)
    seen = figures(near_one)
    origin = seen.minimum if scaling == "minmax" else seen.mean
    near_one -= origin
    match scaling:
        case "common":
            size = np.full(points.shape[1], np.sqrt(np.mean(seen.deviation**2)))
        case "standard":
            size = seen.deviation
        case "minmax":
            size = seen.maximum - seen.minimum
    near_one /= np.where(size > 0, size, 1.0)
    near_one[:, seen.minimum == seen.maximum] = 0.0
    near_one += 0.0
    return near_one


def _exponent(largest: float) -> int:
    import numpy as np

    return int(np.frexp(largest)[1])

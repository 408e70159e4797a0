"""Synthetic points: the same bytes for the same specification and seed (and NumPy version)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.contracts.dataset import (
    Anisotropic,
    Blobs,
    Circles,
    Generator,
    Lattice,
    Moons,
    TaxiTrips,
    UniformNoise,
)
from workers.datasets.limits import PrepareLimits
from workers.datasets.table import Table, Truth, check_cells
from workers.datasets.taxi import taxi_trips

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Made = tuple[NDArray[np.float64], NDArray[np.int64] | None]

# Blobs lie in a cube of this half width, as in scikit-learn's make_blobs.
_HALF_WIDTH = 10.0


def generate(spec: Generator, limits: PrepareLimits) -> Table:
    """Points (n, d) named x, y, z or x0, x1, …; truth where it is known. Raises InvalidDataset when too large."""
    import numpy as np

    columns = getattr(spec, "d", 2)
    check_cells(spec.n, columns, limits.max_cells)
    check_cells(getattr(spec, "centers", 1), columns, limits.max_cells)
    random = np.random.default_rng(spec.seed)
    if isinstance(spec, TaxiTrips):
        return Table(taxi_trips(spec.n, spec.dirty_share, random), ["pickup_longitude", "pickup_latitude"])
    points, truth = _MAKERS[type(spec)](spec, random)
    names = list("xyz"[:columns]) if columns <= 3 else [f"x{position}" for position in range(columns)]
    return Table(np.ascontiguousarray(points), names, None if truth is None else Truth(truth))


def _blobs(spec: Blobs, random: np.random.Generator) -> Made:
    import numpy as np

    centers = random.uniform(-_HALF_WIDTH, _HALF_WIDTH, (spec.centers, spec.d))
    truth = random.integers(0, spec.centers, spec.n)
    points = centers[truth] + random.normal(0.0, spec.spread, (spec.n, spec.d))
    # Chosen at random, so that every prefix and every sample has its share of noise.
    noise = random.permutation(spec.n)[: round(spec.n * spec.noise_share)]
    reach = _HALF_WIDTH + 3 * spec.spread
    points[noise] = random.uniform(-reach, reach, (len(noise), spec.d))
    truth[noise] = -1
    return points, truth.astype(np.int64)


def _moons(spec: Moons, random: np.random.Generator) -> Made:
    import numpy as np

    truth = random.integers(0, 2, spec.n)
    angle = random.uniform(0.0, np.pi, spec.n)
    upper = np.column_stack([np.cos(angle), np.sin(angle)])
    lower = np.column_stack([1.0 - np.cos(angle), 0.5 - np.sin(angle)])
    points = np.where((truth == 0)[:, None], upper, lower)
    return points + random.normal(0.0, spec.noise, points.shape), truth.astype(np.int64)


def _circles(spec: Circles, random: np.random.Generator) -> Made:
    import numpy as np

    truth = random.integers(0, 2, spec.n)
    angle = random.uniform(0.0, 2 * np.pi, spec.n)
    radius = np.where(truth == 0, 1.0, spec.factor)
    points = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return points + random.normal(0.0, spec.noise, points.shape), truth.astype(np.int64)


def _noise(spec: UniformNoise, random: np.random.Generator) -> Made:
    return random.uniform(-_HALF_WIDTH, _HALF_WIDTH, (spec.n, spec.d)), None


def _anisotropic(spec: Anisotropic, random: np.random.Generator) -> Made:
    import numpy as np

    centers = random.uniform(-_HALF_WIDTH, _HALF_WIDTH, (spec.centers, 2))
    truth = random.integers(0, spec.centers, spec.n)
    # The shear of scikit-learn's "comparing clustering algorithms" example.
    shear = np.array([[0.6, -0.6], [-0.4, 0.8]])
    return (centers[truth] + random.normal(0.0, spec.spread, (spec.n, 2))) @ shear, truth.astype(np.int64)


def _lattice(spec: Lattice, random: np.random.Generator) -> Made:
    """The first n nodes of the smallest cube of nodes that has n: distances tie exactly, a hard case for `<= eps`."""
    import numpy as np

    side = max(1, round(spec.n ** (1 / spec.d)))
    while side**spec.d < spec.n:
        side += 1
    nodes = np.stack(np.unravel_index(np.arange(spec.n), (side,) * spec.d), axis=1)
    return nodes.astype(np.float64) * spec.step, None


_MAKERS: dict[type[Any], Any] = {
    Blobs: _blobs,
    Moons: _moons,
    Circles: _circles,
    UniformNoise: _noise,
    Anisotropic: _anisotropic,
    Lattice: _lattice,
}

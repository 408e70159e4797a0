"""Generated data: the size asked for, the same bytes for the same seed, and the shape its name promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.contracts.dataset import Anisotropic, Blobs, Circles, Lattice, Moons, TaxiTrips, UniformNoise
from workers.datasets.errors import InvalidDataset
from workers.datasets.generate import generate
from workers.datasets.limits import PrepareLimits

_LIMITS = PrepareLimits()
_ALL = [Blobs, Moons, Circles, UniformNoise, Anisotropic, Lattice, TaxiTrips]


@pytest.mark.parametrize("kind", _ALL, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("n", [1, 2, 1_000])
def test_has_the_size_asked_for(kind: Any, n: int) -> None:
    table = generate(kind(n=n), _LIMITS)
    assert table.points.shape == (n, 2)
    assert table.points.dtype == np.float64
    assert table.points.flags.c_contiguous
    assert len(table.names) == 2
    assert table.truth is None or table.truth.labels.shape == (n,)


@pytest.mark.parametrize("kind", _ALL, ids=lambda kind: kind.__name__)
def test_depends_on_the_seed_alone(kind: Any) -> None:
    first = generate(kind(n=500, seed=7), _LIMITS).points
    assert np.array_equal(first, generate(kind(n=500, seed=7), _LIMITS).points, equal_nan=True)
    if kind is not Lattice:
        assert not np.array_equal(first, generate(kind(n=500, seed=8), _LIMITS).points, equal_nan=True)


def test_blobs_have_their_share_of_noise_and_every_centre() -> None:
    table = generate(Blobs(n=10_000, d=5, centers=8, noise_share=0.25), _LIMITS)
    assert table.truth is not None
    assert (table.truth.labels == -1).sum() == 2_500
    assert set(table.truth.labels.tolist()) == set(range(-1, 8))
    assert table.points.shape == (10_000, 5)


def test_circles_lie_on_their_radii() -> None:
    table = generate(Circles(n=2_000, noise=0.0, factor=0.25), _LIMITS)
    assert table.truth is not None
    radius = np.linalg.norm(table.points, axis=1)
    assert np.allclose(radius, np.where(table.truth.labels == 0, 1.0, 0.25))


def test_a_lattice_has_distinct_nodes_a_step_apart() -> None:
    points = generate(Lattice(n=100, d=3, step=0.5), _LIMITS).points
    assert len(np.unique(points, axis=0)) == 100
    assert set(np.diff(np.unique(points))) == {0.5}


def test_taxi_trips_are_as_dirty_as_asked_and_mostly_in_town() -> None:
    points = generate(TaxiTrips(n=30_000, dirty_share=0.03), _LIMITS).points
    missing, zero = np.isnan(points).any(axis=1), (points == 0).all(axis=1)
    in_town = (np.abs(points[:, 0] + 73.9) < 0.3) & (np.abs(points[:, 1] - 40.75) < 0.3)
    assert (missing.sum(), zero.sum()) == (300, 300)
    assert 28_900 <= in_town.sum() <= 29_110
    assert not np.isnan(generate(TaxiTrips(n=1_000, dirty_share=0.0), _LIMITS).points).any()


@pytest.mark.parametrize("spec", [UniformNoise(n=200_000, d=600), Blobs(n=10, d=1_000, centers=10_000)])
def test_more_cells_than_allowed_are_refused(spec: Any) -> None:
    with pytest.raises(InvalidDataset, match="above the limit of 9,000,000"):
        generate(spec, PrepareLimits(max_cells=9_000_000))

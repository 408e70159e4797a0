"""Cleaning drops what is declared and counts it; scaling keeps everything finite; the profile warns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist

from tests.data.bad_inputs import npy
from workers.datasets.clean import duplicated
from workers.datasets.scale import scale
from workers.datasets.sketch import sketch

Prepared = Callable[..., Any]

_DIRTY = b"x,y,t\n1,1,0\nnan,1,0\n1,1,1\n50,50,1\ninf,2,2\n2,2,2\n-0.0,0,3\n0,-0.0,3\n3,3,\n"
_FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)
_MATRICES = hnp.arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 3)), elements=_FINITE)


def test_cleaning_is_done_in_the_declared_order_and_counted(made: Prepared) -> None:
    points, truth, profile = made(
        _DIRTY, truth="t", cleaning={"missing": "drop", "boundingBox": {"x": [-1, 10]}, "duplicates": "drop"}
    )
    assert points.tolist() == [[1, 1], [2, 2], [0, 0]]
    assert truth.tolist() == [0, 2, 3]
    assert profile.rows_read == 9
    assert (profile.rows_missing, profile.rows_infinite) == (2, 1)
    assert (profile.rows_outside_box, profile.duplicates, profile.rows_dropped) == (1, 2, 6)


def test_duplicates_are_counted_also_when_kept(made: Prepared) -> None:
    points, _, profile = made(b"x\n1\n2\n1\n1\n")
    assert points[:, 0].tolist() == [1, 2, 1, 1]
    assert (profile.duplicates, profile.rows_dropped) == (2, 0)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.sampled_from([0, 1, 2.5])))
def test_a_duplicate_is_a_row_equal_to_an_earlier_one(points: Any) -> None:
    rows = [tuple(row) for row in points.tolist()]
    assert duplicated(points).tolist() == [row in rows[:position] for position, row in enumerate(rows)]


def test_duplicates_are_exact_even_where_hashes_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.array([[1.0], [2.0], [1.0], [3.0], [2.0]])
    monkeypatch.setattr("workers.datasets.clean._row_hashes", lambda points: np.zeros(len(points), np.uint64))
    assert duplicated(points).tolist() == [False, False, True, False, True]


@settings(max_examples=80, deadline=None)
@given(points=_MATRICES, scaling=st.sampled_from(["none", "common", "standard", "minmax"]))
def test_scaled_points_are_finite_whatever_the_size_of_the_values(points: Any, scaling: Any) -> None:
    before = points.copy()
    scaled = scale(points, scaling)
    assert np.isfinite(scaled).all()
    assert scaled.flags.c_contiguous
    assert np.array_equal(points, before)
    if scaling == "minmax":
        assert scaled.min() >= 0
        assert scaled.max() <= 1


def test_each_scaling_does_what_its_name_says() -> None:
    points = np.random.default_rng(3).normal((100.0, -5.0, 7.0), (1.0, 30.0, 0.0), (500, 3))
    standard, minmax, common = (scale(points, name) for name in ("standard", "minmax", "common"))
    assert np.allclose(standard.mean(0), 0)
    assert np.allclose(standard.std(0), [1, 1, 0])
    assert minmax.min(0).tolist() == [0, 0, 0]
    assert minmax.max(0).tolist() == [1, 1, 0]
    assert np.allclose(common.mean(0), 0)
    ratio = cdist(common[:50], common[:50]) / np.maximum(cdist(points[:50], points[:50]), 1e-300)
    assert np.allclose(ratio[~np.eye(50, dtype=bool)], ratio[0, 1])


@pytest.mark.parametrize(
    ("rows", "warning"),
    [
        ([[1.0, 2.0]], "there is one point only"),
        ([[1.0, 2.0]] * 3, "all 3 rows are equal"),
        ([[1.0, 2.0], [1.0, 3.0]], "column 'x0' is constant"),
        ([[1e308, 2.0], [-1e308, 3.0]], "column 'x0' holds values above 1e150"),
        ([[5e-324, 2.0], [0.0, 3.0]], "column 'x0' spans less than 1e-150"),
        ([[1e9 + 1e-3, 2.0], [1e9, 3.0]], "column 'x0' varies by less than 1e-7 of its size"),
    ],
)
def test_what_makes_distances_doubtful_is_a_warning(made: Prepared, rows: list[list[float]], warning: str) -> None:
    points, _, profile = made(npy(np.array(rows)))
    assert points.tolist() == rows
    assert [said for said in profile.warnings if said.startswith(warning)]


def test_plain_data_has_no_warning_and_right_figures(made: Prepared) -> None:
    _, _, profile = made(npy(np.array([[0.0, 10.0], [2.0, 30.0]])), scaling="none")
    assert profile.warnings == []
    first, second = profile.columns
    assert (first.minimum, first.maximum, first.mean, first.standard_deviation) == (0, 2, 1, 1)
    assert (second.minimum, second.maximum, second.mean, second.standard_deviation) == (10, 30, 20, 10)


@settings(max_examples=80, deadline=None)
@given(points=_MATRICES)
def test_the_sketch_of_any_finite_points_rises(points: Any) -> None:
    made = sketch(points)
    assert len(made.radii) == len(made.mean_neighbours) >= 2
    assert all(low < high for low, high in zip(made.radii, made.radii[1:], strict=False))
    assert made.mean_neighbours == sorted(made.mean_neighbours)
    assert made.mean_neighbours[0] >= 1
    assert made.mean_neighbours[-1] == len(points)


@pytest.mark.parametrize("d", [1, 2, 4, 12])
@pytest.mark.parametrize("far", [0.0, 1e6])
def test_the_sketch_is_exact_when_every_point_is_asked(d: int, far: float) -> None:
    points = np.random.default_rng(d).normal(far, 1.0, (400, d))
    made = sketch(points)
    distances = cdist(points - far, points - far)
    exact = [(distances <= radius).sum() / len(points) for radius in made.radii]
    assert made.mean_neighbours == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("d", [2, 10])
def test_the_sketch_of_many_points_is_within_fifteen_percent(d: int) -> None:
    points = np.random.default_rng(5).normal(size=(12_000, d))
    made = sketch(points)
    asked = points[np.random.default_rng(6).choice(len(points), 600, replace=False)]
    distances = np.sort(cdist(asked, points), axis=None)
    exact = np.searchsorted(distances, made.radii, side="right") / len(asked)
    assert made.mean_neighbours == pytest.approx(exact.tolist(), rel=0.15)

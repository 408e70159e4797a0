"""Cuts, assignment, the kernel of a leaf, the merge: what each step promises to the next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.spark import local
from workers.spark.assign import FAR, NEAR, OWN, assign
from workers.spark.leaf_rows import pack, unpack
from workers.spark.local import cluster_leaf
from workers.spark.merge import NO_CORE, number_clusters
from workers.spark.plan import make_plan
from workers.spark.program import default_leaves


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 12), st.sampled_from([0.0, 1e8]))
def test_each_point_has_one_owner_and_every_neighbour_within_reach_is_there(
    seed: int, d: int, leaves: int, offset: float
) -> None:
    rng = np.random.default_rng(seed)
    points, eps = np.round(rng.random((60, d)), 1) + offset, 0.2
    plan = make_plan(points[::2], eps, leaves, least_width=0.0)

    assigned = assign(plan, points)

    own = assigned.zone == OWN
    assert np.array_equal(np.sort(assigned.row[own]), np.arange(60))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    for leaf in range(plan.leaves):
        here = assigned.leaf == leaf
        mine = assigned.row[here & own]
        known = assigned.row[here & (assigned.zone <= NEAR)]
        held = assigned.row[here]
        assert len(np.unique(held)) == len(held)
        assert set(np.flatnonzero((distances[mine] <= eps).any(axis=0))) <= set(known)
        assert set(np.flatnonzero((distances[known] <= eps).any(axis=0))) <= set(held)
    near_elsewhere = np.isin(assigned.row, assigned.row[assigned.zone == NEAR])
    assert np.array_equal(assigned.shared, own & near_elsewhere)


def test_a_plan_reaches_the_leaves_wished_for_and_balances_them() -> None:
    points = np.random.default_rng(0).random((20_000, 2))
    plan = make_plan(points, 0.001, 16)
    assigned = assign(plan, points)
    sizes = np.bincount(assigned.leaf[assigned.zone == OWN])
    assert plan.leaves == 16
    assert sizes.max() <= 1.16 * sizes.mean()
    assert len(assigned.row) < 1.05 * len(points)
    assert (np.diff(np.bincount(assigned.leaf[assigned.zone != FAR], minlength=16)) <= 40).all(), "heaviest first"


def test_space_is_not_cut_into_pieces_narrower_than_four_eps() -> None:
    points = np.random.default_rng(0).random((1_000, 2))
    assert make_plan(points, 0.13, 8).leaves == 1
    assert 1 < make_plan(points, 0.12, 8).leaves <= 4


def test_where_halos_would_copy_everything_there_is_one_leaf() -> None:
    points = np.random.default_rng(0).random((3_000, 3))
    assert make_plan(points, 0.10, 8).leaves == 8
    assert make_plan(points, 0.12, 8).leaves == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_points_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinities"):
        assign(make_plan(np.zeros((0, 2)), 1.0, 1), np.array([[0.0, bad]]))


def test_pairs_exactly_at_eps_are_neighbours_and_the_next_float_is_not() -> None:
    points = np.array([[0.0], [0.3], [0.6000000000000001]])
    both = np.ones(3, dtype=bool)
    assert cluster_leaf(points, 0.3, 2, both).core.tolist() == [True, True, False]
    assert cluster_leaf(points, float(np.nextafter(0.3, 0)), 2, both).core.tolist() == [False, False, False]


@pytest.mark.parametrize("pairs_at_once", [2_000_000, 3])
def test_a_border_point_between_clusters_touches_all_of_them_and_unites_none(
    monkeypatch: pytest.MonkeyPatch, pairs_at_once: int
) -> None:
    monkeypatch.setattr(local, "PAIRS_AT_ONCE", pairs_at_once)
    x = np.array([-1.5] * 8 + [-1.0] * 2 + [0.0] + [1.0] * 2 + [1.5] * 8 + [9.0])
    points = np.stack([x, np.zeros_like(x)], axis=1)
    everybody = np.ones(len(x), dtype=bool)

    found = cluster_leaf(points, 1.0, 8, everybody)

    assert found.core.tolist() == [True] * 10 + [False] + [True] * 10 + [False]
    assert found.clusters == 2
    assert found.touching_row.tolist() == [10, 10]
    assert found.touching_cluster.tolist() == [0, 1]
    assert len(set(found.cluster[:10])) == len(set(found.cluster[11:21])) == 1
    assert found.cluster[[10, 21]].tolist() == [-1, -1]
    assert cluster_leaf(points, 1.0, 8, ~everybody).touching_row.tolist() == []


def test_local_clusters_are_united_and_numbered_by_their_smallest_core() -> None:
    # Leaf 0 owns clusters with smallest cores 40 and 7; leaf 1 one with 12 that is the first of leaf 0, and a copy.
    numbering = number_clusters(
        np.array([2, 2]), np.array([40, 7, 12, NO_CORE]), np.array([[0, 0, 1, 0], [0, 1, 1, 1]])
    )
    assert numbering.clusters == 2
    assert numbering.of(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])).tolist() == [1, 0, 1, 0]


def test_many_equal_edges_count_as_one() -> None:
    edges = np.repeat([[0, 0, 1, 0]], 512, axis=0)
    assert number_clusters(np.array([1, 1]), np.array([5, 3]), edges).clusters == 1


def test_a_cluster_that_no_owner_knows_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="owner"):
        number_clusters(np.array([1, 1]), np.array([5, NO_CORE]), np.empty((0, 4), dtype=np.int64))


@given(st.integers(0, 5), st.integers(1, 7))
def test_points_survive_packing_bit_for_bit(m: int, d: int) -> None:
    points = np.random.default_rng(m).normal(size=(m + 3, d))
    column = pack(points)
    assert np.array_equal(unpack(column, d), points)
    assert np.array_equal(unpack(column.slice(2, m), d), points[2 : 2 + m])


def test_points_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="3 float64"):
        unpack(pack(np.zeros((2, 2))), 3)


def test_leaves_follow_the_size_and_the_threads() -> None:
    assert default_leaves(100, 8) == 1
    assert default_leaves(100_000, 2) == 4
    assert default_leaves(10_000_000, 2) == 40

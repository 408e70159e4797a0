"""Equal clusterings have equal fingerprints whatever their numbering; a changed core, cluster or border shows."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN

from workers.algorithms.adapter import Clustering
from workers.evaluate.canonical import canonical_labels, flags_sha256, labels_sha256
from workers.evaluate.fingerprint import fingerprint
from workers.evaluate.validate import InvalidResult, check

EPS, MIN_SAMPLES = 0.08, 5


def clustered(seed: int = 0, n: int = 400) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    points = np.random.default_rng(seed).random((n, 2))
    model = DBSCAN(eps=EPS, min_samples=MIN_SAMPLES, algorithm="kd_tree").fit(points)
    core = np.zeros(n, dtype=bool)
    core[model.core_sample_indices_] = True
    return points, model.labels_, core


@given(st.integers(0, 30), st.randoms(use_true_random=False))
def test_renumbering_changes_nothing_and_scikit_learns_numbers_are_canonical(seed: int, random: object) -> None:
    _, labels, core = clustered(seed, 120)
    names = list(range(int(labels.max()) + 1))
    random.shuffle(names)  # type: ignore[attr-defined]
    renumbered = np.array([-1 if label < 0 else 7 * names[label] for label in labels], dtype=np.int64)
    assert np.array_equal(canonical_labels(renumbered, core), labels)


def test_clusters_are_ranked_by_their_smallest_core_row_not_by_their_first_row() -> None:
    labels = np.array([5, 2, 2, 5, -1], dtype=np.int64)
    core = np.array([False, True, True, True, False])
    assert canonical_labels(labels, core).tolist() == [1, 0, 0, 1, -1]


def test_clusters_without_cores_come_last_and_no_points_have_no_labels() -> None:
    labels = np.array([3, 1, 1], dtype=np.int64)
    assert canonical_labels(labels, np.array([False, True, False])).tolist() == [1, 0, 0]
    assert canonical_labels(np.empty(0, dtype=np.int64), np.empty(0, dtype=bool)).tolist() == []


def test_hashes_are_over_little_endian_int64_and_packed_bits() -> None:
    assert labels_sha256(np.array([0, -1])) == hashlib.sha256(b"\0" * 8 + b"\xff" * 8).hexdigest()
    assert flags_sha256(np.array([True] + [False] * 7 + [True])) == hashlib.sha256(b"\x80\x80").hexdigest()


def test_the_fingerprint_of_scikit_learn_is_admissible_and_free_of_numbering() -> None:
    points, labels, core = clustered()
    assert ((labels >= 0) & ~core).sum() > 20, "the case has border points"
    mine = fingerprint(points, labels, core, EPS)
    assert mine.inadmissible_borders == 0
    assert fingerprint(points, np.where(labels < 0, -1, labels.max() - labels), core, EPS) == mine


def test_without_eps_borders_are_not_checked() -> None:
    points, labels, core = clustered()
    assert fingerprint(points, labels, core, None).inadmissible_borders is None


def test_each_kind_of_difference_shows_in_its_hash() -> None:
    points, labels, core = clustered()
    mine = fingerprint(points, labels, core, EPS)
    border = int(np.flatnonzero((labels >= 0) & ~core)[0])

    as_noise = labels.copy()
    as_noise[border] = -1
    theirs = fingerprint(points, as_noise, core, EPS)
    assert theirs.noise_sha256 != mine.noise_sha256
    assert (theirs.core_sha256, theirs.partition_sha256) == (mine.core_sha256, mine.partition_sha256)

    merged = np.where(labels == 1, 0, labels)
    theirs = fingerprint(points, merged, core, EPS)
    assert theirs.partition_sha256 != mine.partition_sha256
    assert (theirs.core_sha256, theirs.noise_sha256) == (mine.core_sha256, mine.noise_sha256)

    more_core = core.copy()
    more_core[border] = True
    assert fingerprint(points, labels, more_core, EPS).core_sha256 != mine.core_sha256


def test_every_border_point_of_a_foreign_cluster_is_counted() -> None:
    points, labels, core = clustered()
    border = np.flatnonzero((labels >= 0) & ~core)
    near = np.linalg.norm(points[border][:, None] - points[core][None], axis=2) <= EPS
    foreign = np.array([next(c for c in range(labels.max() + 1) if c not in set(labels[core][row])) for row in near])
    moved = labels.copy()
    moved[border] = foreign
    assert fingerprint(points, moved, core, EPS).inadmissible_borders == len(border)


def test_a_border_point_exactly_at_eps_is_admissible_and_one_beyond_is_not() -> None:
    core = np.array([True, False])
    labels = np.zeros(2, dtype=np.int64)
    for distance, bad in ((0.1, 0), (np.nextafter(0.1, 1), 1)):
        assert fingerprint(np.array([[0.0, 0.0], [0.0, distance]]), labels, core, 0.1).inadmissible_borders == bad


@pytest.mark.parametrize(
    ("labels", "core", "says"),
    [
        (np.array([0, 0, -1], dtype=np.int32), np.array([True, True, False]), "dtype int32"),
        (np.array([0, 0]), np.array([True, True, False]), "shape"),
        (np.array([0, 0, -2]), np.array([True, True, False]), "-2"),
        (np.array([0, 0, -1]), np.array([1, 1, 0]), "core has the dtype"),
        (np.array([0, 0, -1]), np.array([True, True, True]), "labelled as noise"),
        (np.array([0, 0, 1]), np.array([True, True, False]), "no core point"),
        ([0, 0, -1], np.array([True, True, False]), "not a numpy array"),
    ],
)
def test_results_that_are_no_clustering_are_refused_with_the_reason(
    labels: NDArray[np.int64], core: NDArray[np.bool_], says: str
) -> None:
    with pytest.raises(InvalidResult, match=says):
        check(Clustering(labels, core), 3)


def test_details_must_be_json_values() -> None:
    sound = np.array([0, 0, -1]), np.array([True, True, False])
    check(Clustering(*sound, {"a": [1, "b", None]}), 3)
    for details in ({"a": float("nan")}, {"a": np.arange(2)}):
        with pytest.raises(InvalidResult, match="details"):
            check(Clustering(*sound, details), 3)

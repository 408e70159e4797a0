"""Plain figures: noise is never a cluster of its own unless the name says so, and a missing figure has its reason."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, silhouette_score

from workers.evaluate import quality as quality_module
from workers.evaluate.agreement import agreement
from workers.evaluate.quality import SILHOUETTE_POINTS, quality, silhouette_sample


def test_equal_labelings_agree_fully_in_every_way() -> None:
    labels = np.array([0, 0, 1, 1, -1, 2, 2, -1])
    found = agreement(labels, np.where(labels < 0, -1, 2 - labels))
    assert found.coverage == 0.75
    for name, value in found.model_dump().items():
        if name != "coverage":
            assert value == pytest.approx(1.0), name


def test_the_three_ways_treat_noise_as_they_say() -> None:
    a = np.array([0, 0, 0, 1, 1, 1, -1, -1, 2, 2])
    b = np.array([0, 0, 1, 1, 1, -1, -1, -1, 0, 2])
    found = agreement(a, b)
    singles_a, singles_b = a.copy(), b.copy()
    singles_a[a < 0] = [10, 11]
    singles_b[b < 0] = [10, 11, 12]
    both = (a >= 0) & (b >= 0)
    for ari, ami, (x, y) in (
        (found.noise_as_cluster_ari, found.noise_as_cluster_ami, (a, b)),
        (found.noise_as_singletons_ari, found.noise_as_singletons_ami, (singles_a, singles_b)),
        (found.clustered_only_ari, found.clustered_only_ami, (a[both], b[both])),
    ):
        assert ari == pytest.approx(adjusted_rand_score(x, y))
        assert ami == pytest.approx(adjusted_mutual_info_score(x, y))
    assert found.coverage == 0.7


def test_where_nothing_is_clustered_on_both_sides_there_is_no_figure() -> None:
    found = agreement(np.array([0, 0, -1, -1]), np.array([-1, -1, 0, 0]))
    assert found.coverage == 0.0
    assert found.clustered_only_ari is None
    assert found.clustered_only_ami is None


def test_an_agreement_too_costly_to_compute_is_left_out_with_its_reason() -> None:
    n = 20_000
    noise = np.full(n, -1)
    found = quality(np.zeros((n, 1)), noise, np.zeros(n, dtype=bool), noise, 0)
    assert found.truth is not None
    assert found.truth.noise_as_singletons_ari == 1.0
    assert found.truth.noise_as_singletons_ami is None
    assert "truth.noise_as_singletons_ami" in found.reasons


def test_labelings_of_different_length_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="2 and 3 points"):
        agreement(np.zeros(2, dtype=np.int64), np.zeros(3, dtype=np.int64))


def test_the_silhouette_leaves_noise_out() -> None:
    points, labels = make_blobs(300, centers=3, random_state=0)
    noisy = np.vstack([points, np.random.default_rng(0).uniform(-20, 20, (100, 2))])
    all_labels = np.concatenate([labels, np.full(100, -1)]).astype(np.int64)
    found = quality(noisy, all_labels, all_labels >= 0, None, 0)
    assert found.silhouette == pytest.approx(silhouette_score(points, labels))
    assert found.silhouette_points == 300
    assert (found.clusters, found.core_points, found.noise_share) == (3, 300, 0.25)
    assert found.truth is None
    assert set(found.reasons) == {"truth"}


def test_a_large_clustering_is_sampled_by_cluster_and_comes_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality_module, "SILHOUETTE_POINTS", 500)
    sizes = [1_200, 700, 4]
    points, labels = make_blobs(sizes, cluster_std=1.5, random_state=1)
    rows, reason = silhouette_sample(labels, 7)
    assert reason is None
    assert 497 <= len(rows) <= 500
    assert np.bincount(labels[rows])[2] >= 2
    assert np.array_equal(rows, silhouette_sample(labels, 7)[0])
    assert not np.array_equal(rows, silhouette_sample(labels, 8)[0])
    found = quality(points, labels, np.ones(len(labels), dtype=bool), None, 7)
    assert found.silhouette == pytest.approx(silhouette_score(points, labels), abs=0.03)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([-1, -1, -1, -1], "fewer than 2 clusters"),
        ([0, 0, 0, -1], "fewer than 2 clusters"),
        ([0, 1, 2, -1], "no cluster has two points"),
        ([], "fewer than 2 clusters"),
    ],
)
def test_a_silhouette_that_cannot_be_has_its_reason(labels: list[int], reason: str) -> None:
    values = np.array(labels, dtype=np.int64)
    found = quality(np.arange(2.0 * len(values)).reshape(-1, 2), values, values >= 0, None, 0)
    assert found.silhouette is None
    assert found.silhouette_points == 0
    assert found.reasons["silhouette"] == reason


def test_more_clusters_than_the_sample_can_hold_have_no_silhouette() -> None:
    labels = np.repeat(np.arange(SILHOUETTE_POINTS), 2)
    assert "too many" in quality(np.zeros((len(labels), 1)), labels, labels >= 0, None, 0).reasons["silhouette"]

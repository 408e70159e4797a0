"""What the adapters take, predict and answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.cluster import DBSCAN

from app.contracts.algorithm import Workload
from workers.algorithms.adapter import Resources
from workers.algorithms.registry import catalogue, get
from workers.evaluate.validate import check

RESOURCES = Resources(threads=2, memory_limit_bytes=2**30, scratch=Path("unused"))
SKLEARN = ["sklearn-dbscan", "sklearn-dbscan-parallel"]


@pytest.mark.parametrize("name", list(catalogue()))
def test_missing_parameters_get_their_defaults(name: str) -> None:
    canonical = get(name).canonical_parameters({"eps": 1})
    assert canonical["eps"] == 1.0
    assert canonical["min_samples"] == 5
    assert get(name).canonical_parameters(canonical) == canonical


@pytest.mark.parametrize("name", list(catalogue()))
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"eps": 0},
        {"eps": -1.0},
        {"eps": float("nan")},
        {"eps": float("inf")},
        {"eps": 1e-200},
        {"eps": 1e200},
        {"eps": "0.5"},
        {"eps": True},
        {"eps": 1.0, "min_samples": 0},
        {"eps": 1.0, "min_samples": 2.5},
        {"eps": 1.0, "epsilon": 2.0},
    ],
)
def test_parameters_outside_their_meaning_are_refused(name: str, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        get(name).canonical_parameters(values)


@pytest.mark.parametrize("name", SKLEARN)
def test_scikit_learn_answers_as_it_does_alone(name: str) -> None:
    points = np.random.default_rng(0).random((400, 2))
    alone = DBSCAN(eps=0.05, min_samples=4, algorithm="kd_tree").fit(points)

    found = get(name).fit(points, {"eps": 0.05, "min_samples": 4}, RESOURCES)

    check(found, len(points))
    assert np.array_equal(found.labels, alone.labels_)
    assert np.array_equal(np.flatnonzero(found.core), alone.core_sample_indices_)
    assert found.details["n_jobs"] == (2 if name == "sklearn-dbscan-parallel" else 1)


def test_no_points_make_no_clusters() -> None:
    found = get("sklearn-dbscan").fit(np.empty((0, 2)), {"eps": 0.05}, RESOURCES)
    check(found, 0)


def test_mapped_read_only_points_are_clustered(tmp_path: Path) -> None:
    np.save(tmp_path / "points.npy", np.random.default_rng(0).random((100, 3)))
    points = np.load(tmp_path / "points.npy", mmap_mode="r", allow_pickle=False)
    get("sklearn-dbscan").prepare(points, RESOURCES)
    check(get("sklearn-dbscan").fit(points, {"eps": 0.2}, RESOURCES), 100)


@pytest.mark.parametrize("name", list(catalogue()))
def test_predictions_never_fall_when_there_is_more_to_do(name: str) -> None:
    base = Workload(n=100_000, d=2, mean_neighbours=50, threads=2)
    more = [base.model_copy(update=change) for change in ({"n": 200_000}, {"mean_neighbours": 500}, {"d": 20})]
    first = get(name).predict({"eps": 0.1}, base)
    for workload in more:
        then = get(name).predict({"eps": 0.1}, workload)
        assert then.peak_bytes >= first.peak_bytes
        assert then.fit_seconds >= first.fit_seconds


def test_scikit_learn_is_predicted_to_keep_every_neighbour_list() -> None:
    workload = Workload(n=1_000_000, d=2, mean_neighbours=1_000, threads=1)
    assert get("sklearn-dbscan").predict({"eps": 0.1}, workload).peak_bytes >= 8 * 10**9

"""Prepared points come back as they were published: whole, or as a sample that nests in every larger one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.contracts.dataset import PreparedDataset
from app.contracts.failures import FailureCode
from app.contracts.objects import dataset_prefix
from app.gateways.objects import FolderStore
from workers.datasets.clean import Counts
from workers.datasets.errors import ArtifactCorrupt
from workers.datasets.fetch import fetch
from workers.datasets.identity import dataset_sha256, file_sha256
from workers.datasets.prepared import PreparedFiles
from workers.datasets.profile import profile
from workers.datasets.publish import publish
from workers.datasets.sample import sample_rows
from workers.datasets.table import Table, Truth

_POINTS = np.random.default_rng(0).normal(size=(200, 3))
_TRUTH = np.arange(200) % 7

_FETCH_IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from app.contracts.dataset import PreparedDataset
from app.gateways.objects import FolderStore
from workers.datasets.fetch import fetch
root, cache, record = sys.argv[1:]
store = FolderStore(Path(root), "corepoint", frozenset())
sys.stdin.readline()
print(fetch(store, PreparedDataset.model_validate_json(record), 50, 9, Path(cache)).points)
"""


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects", "corepoint", frozenset())


@pytest.fixture
def dataset(tmp_path: Path, store: FolderStore) -> PreparedDataset:
    np.save(tmp_path / "points.npy", _POINTS)
    np.save(tmp_path / "truth.npy", _TRUTH)
    table = Table(_POINTS, ["a", "b", "c"], Truth(_TRUTH))
    return publish(
        store,
        PreparedFiles(
            points=tmp_path / "points.npy",
            truth=tmp_path / "truth.npy",
            sha256=dataset_sha256(_POINTS, _TRUTH),
            points_sha256=file_sha256(tmp_path / "points.npy"),
            truth_sha256=file_sha256(tmp_path / "truth.npy"),
            n=200,
            d=3,
            profile=profile(table, Counts(200, 0, 0, 0, 0, 0)),
        ),
    )


def test_published_objects_lie_under_the_hash_of_the_dataset(store: FolderStore, dataset: PreparedDataset) -> None:
    prefix = dataset_prefix(dataset.sha256)
    assert list(store.keys("")) == [f"{prefix}points.npy", f"{prefix}truth.npy"]


def test_all_rows_are_the_stored_file_itself(store: FolderStore, dataset: PreparedDataset, tmp_path: Path) -> None:
    got = fetch(store, dataset, 200, 1, tmp_path / "cache")
    assert file_sha256(got.points) == dataset.points_sha256
    assert got.truth is not None
    assert file_sha256(got.truth) == dataset.truth_sha256
    assert (got.n, got.d) == (200, 3)
    assert fetch(store, dataset, 200, 2, tmp_path / "cache") == got


def test_a_sample_keeps_order_and_truth(store: FolderStore, dataset: PreparedDataset, tmp_path: Path) -> None:
    got = fetch(store, dataset, 50, 9, tmp_path / "cache")
    rows = sample_rows(200, 50, 9)
    assert got.truth is not None
    assert np.array_equal(np.load(got.points), _POINTS[rows])
    assert np.array_equal(np.load(got.truth), _TRUTH[rows])
    assert np.load(got.points).dtype == np.float64
    assert (got.n, got.d) == (50, 3)
    assert got.points.stat().st_mode & 0o777 == 0o400


def test_what_is_cached_is_not_asked_for_again(store: FolderStore, dataset: PreparedDataset, tmp_path: Path) -> None:
    first = fetch(store, dataset, 50, 9, tmp_path / "cache")
    for key in list(store.keys("")):
        store.delete(key)
    assert fetch(store, dataset, 50, 9, tmp_path / "cache") == first
    assert np.load(fetch(store, dataset, 60, 9, tmp_path / "cache").points).shape == (60, 3)


@pytest.mark.parametrize("size", [0, 201])
def test_a_size_outside_the_dataset_is_refused(
    store: FolderStore, dataset: PreparedDataset, tmp_path: Path, size: int
) -> None:
    with pytest.raises(ValueError, match=f"a sample of {size} points out of 200"):
        fetch(store, dataset, size, 0, tmp_path / "cache")


@pytest.mark.parametrize("fault", ["changed", "truncated", "missing"])
def test_a_stored_object_that_differs_is_corrupt_and_not_kept(
    store: FolderStore, dataset: PreparedDataset, tmp_path: Path, fault: str
) -> None:
    good = store.get(dataset.points_key)
    if fault == "missing":
        store.delete(dataset.points_key)
    else:
        store.put(dataset.points_key, good[:-8] if fault == "truncated" else good[:-1] + b"\x01")
    with pytest.raises(ArtifactCorrupt) as corrupt:
        fetch(store, dataset, 50, 0, tmp_path / "cache")
    assert corrupt.value.failure.code is FailureCode.ARTIFACT_CORRUPT
    assert dataset.points_key in corrupt.value.failure.message
    store.put(dataset.points_key, good)
    assert np.array_equal(np.load(fetch(store, dataset, 200, 0, tmp_path / "cache").points), _POINTS)


def test_a_record_that_tells_another_shape_is_corrupt(
    store: FolderStore, dataset: PreparedDataset, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactCorrupt, match=r"holds <f8 \(200, 3\), the record says <f8 \(200, 4\)"):
        fetch(store, dataset.model_copy(update={"d": 4}), 200, 0, tmp_path / "cache")


def test_publishing_again_repairs_an_object_cut_short(
    store: FolderStore, dataset: PreparedDataset, tmp_path: Path
) -> None:
    store.put(dataset.points_key, b"short")
    files = PreparedFiles(
        points=tmp_path / "points.npy",
        truth=None,
        sha256=dataset.sha256,
        points_sha256=dataset.points_sha256,
        truth_sha256=None,
        n=200,
        d=3,
        profile=dataset.profile,
    )
    assert publish(store, files).truth_key is None
    assert np.array_equal(np.load(fetch(store, dataset, 200, 0, tmp_path / "cache").points), _POINTS)


def test_two_processes_may_fetch_at_once(store: FolderStore, dataset: PreparedDataset, tmp_path: Path) -> None:
    arguments = [str(tmp_path / "objects"), str(tmp_path / "cache"), dataset.model_dump_json()]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _FETCH_IN_ANOTHER_PROCESS, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.defpath, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        for _ in range(2)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
    answers = {child.communicate(timeout=60)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0]
    assert len(answers) == 1
    (path,) = answers
    assert np.array_equal(np.load(Path(path.decode().strip())), _POINTS[sample_rows(200, 50, 9)])
    assert not list((tmp_path / "cache").rglob(".*.npy"))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 300), seed=st.integers(0, 2**63), data=st.data())
def test_samples_rise_and_nest(n: int, seed: int, data: st.DataObject) -> None:
    large = data.draw(st.integers(1, n))
    small = data.draw(st.integers(1, large))
    rows = sample_rows(n, large, seed)
    assert len(rows) == large
    assert (np.diff(rows) > 0).all()
    assert rows.min() >= 0
    assert rows.max() < n
    assert set(sample_rows(n, small, seed)) <= set(rows)


def test_samples_are_the_same_for_ever() -> None:
    assert sample_rows(20, 5, 42).tolist() == [4, 8, 10, 15, 17]
    assert sample_rows(1_000_000, 5, 42).tolist() == [351_524, 359_457, 434_245, 480_235, 795_119]

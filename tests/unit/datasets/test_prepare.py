"""Data is read in a child process: what it does to its reader is a refusal, never our end."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.contracts.dataset import DatasetSpec
from app.contracts.failures import FailureCode
from tests.data.bad_inputs import HOSTILE, BadInput, npy
from workers.datasets.errors import InvalidDataset
from workers.datasets.identity import dataset_sha256
from workers.datasets.limits import PrepareLimits
from workers.datasets.prepare import prepare

UPLOAD = {"upload": "0193a5a0-0000-7000-8000-000000000000"}


def _spec(**spec: Any) -> DatasetSpec:
    return DatasetSpec.model_validate({"name": "data", "source": UPLOAD, **spec})


def test_writes_points_truth_and_profile_under_the_hash_of_their_content(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"lon,lat,kind\n1,2,a\n3,4,b\n1,2,a\n")
    files = prepare(_spec(truth="kind"), tmp_path / "in", tmp_path / "out", PrepareLimits())
    points, truth = np.load(files.points), np.load(tmp_path / "out" / "truth.npy")
    assert points.tolist() == [[1, 2], [3, 4], [1, 2]]
    assert (points.dtype, truth.dtype) == (np.float64, np.int64)
    assert truth.tolist() == [0, 1, 0]
    assert files.truth == tmp_path / "out" / "truth.npy"
    assert (files.n, files.d, files.profile.duplicates) == (3, 2, 1)
    assert files.sha256 == dataset_sha256(points, truth)
    assert files.points_sha256 == hashlib.sha256(files.points.read_bytes()).hexdigest()


def test_the_identity_depends_on_shape_values_and_truth_only() -> None:
    points, truth = np.arange(6.0).reshape(3, 2), np.array([0, 1, -1])
    same = dataset_sha256(points, truth)
    assert dataset_sha256(np.asfortranarray(points), truth.astype(">i8")) == same
    others = [
        dataset_sha256(points, None),
        dataset_sha256(points.reshape(2, 3), None),
        dataset_sha256(points, truth[::-1].copy()),
        dataset_sha256(points + 1e-15, truth),
    ]
    assert len({same, *others}) == 5


def test_the_child_sees_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers.datasets import prepare as module

    monkeypatch.setenv("COREPOINT_OBJECTS__SECRET_KEY", "hunter2")
    environment = module._environment(tmp_path)
    assert "hunter2" not in environment.values()
    assert not {name for name in environment if name.startswith(("COREPOINT", "AWS", "PREFECT"))}


@pytest.mark.parametrize("bad", HOSTILE, ids=lambda bad: bad.name)
def test_hostile_bytes_are_refused(bad: BadInput, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset) as refused:
        prepare(_spec(), bad.write(tmp_path), tmp_path / "out", PrepareLimits())
    assert refused.value.failure.code is FailureCode.INVALID_DATA
    assert refused.value.failure.hint


def test_too_much_memory_ends_the_child_with_the_limit_in_the_message(tmp_path: Path) -> None:
    spec = _spec(source={"generate": {"kind": "noise", "n": 30_000_000, "d": 3}})
    with pytest.raises(InvalidDataset, match=r"more than the 1,000,000,000 bytes of memory") as refused:
        prepare(spec, None, tmp_path, PrepareLimits(memory_bytes=1_000_000_000))
    assert refused.value.failure.code is FailureCode.INVALID_DATA
    assert refused.value.failure.hint


def test_too_much_cpu_ends_the_child_with_the_limit_in_the_message(tmp_path: Path) -> None:
    spec = _spec(source={"generate": {"kind": "blobs", "n": 8_000_000, "d": 2}})
    with pytest.raises(InvalidDataset, match=r"more than 1 s of CPU"):
        prepare(spec, None, tmp_path, PrepareLimits(cpu_seconds=1))


def test_too_much_time_ends_the_child_with_the_limit_in_the_message(tmp_path: Path) -> None:
    spec = _spec(source={"generate": {"kind": "blobs", "n": 8_000_000, "d": 2}})
    with pytest.raises(InvalidDataset, match=r"longer than 0.5 s"):
        prepare(spec, None, tmp_path, PrepareLimits(wall_seconds=0.5))


def test_more_cells_than_allowed_are_refused_before_they_are_made(tmp_path: Path) -> None:
    spec = _spec(source={"generate": {"kind": "noise", "n": 1_000_000_000, "d": 1000}})
    with pytest.raises(InvalidDataset, match="1,000,000,000,000 cells, above the limit of 100,000,000"):
        prepare(spec, None, tmp_path, PrepareLimits())


def test_what_a_former_attempt_left_is_not_taken_for_an_answer(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(npy(np.eye(3)))
    prepare(_spec(), tmp_path / "good", tmp_path / "out", PrepareLimits())
    assert json.loads((tmp_path / "out" / "answer.json").read_bytes())["made"]
    (tmp_path / "bad").write_bytes(b"x,y\n1\n")
    with pytest.raises(InvalidDataset, match="line 2"):
        prepare(_spec(), tmp_path / "bad", tmp_path / "out", PrepareLimits())
    assert not (tmp_path / "out" / "points.npy").exists()


def test_a_source_that_was_not_fetched_is_our_own_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="source_file"):
        prepare(_spec(source={"path": os.devnull}), None, tmp_path, PrepareLimits())

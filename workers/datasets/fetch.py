"""Brings a prepared dataset version, or a sample of it, to this machine; each is fetched and written once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from app.contracts.dataset import PreparedDataset
from app.contracts.failures import Failure, FailureCode
from app.contracts.objects import ObjectMissingError, ObjectStore
from workers.datasets.errors import ArtifactCorrupt
from workers.datasets.identity import file_sha256
from workers.datasets.prepared import PreparedPoints
from workers.datasets.sample import sample_rows


def fetch(
    store: ObjectStore, dataset: PreparedDataset, sample_size: int, sample_seed: int, cache: Path
) -> PreparedPoints:
    """Points (and truth) of `sample_size` rows, in the order of the dataset; all rows: the stored file itself.

    Safe for several processes on one cache. Raises ArtifactCorrupt, StoreUnavailableError, or ValueError for a size
    outside 1..n.
    """
    if not 1 <= sample_size <= dataset.n:
        raise ValueError(f"a sample of {sample_size} points out of {dataset.n}")
    folder = cache / dataset.sha256
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(folder / ".lock"):
        points = _fetched(store, dataset.points_key, dataset.points_sha256, (dataset.n, dataset.d), folder)
        truth = None
        if dataset.truth_key is not None and dataset.truth_sha256 is not None:
            truth = _fetched(store, dataset.truth_key, dataset.truth_sha256, (dataset.n,), folder)
        if sample_size < dataset.n:
            points = _sampled(points, sample_size, sample_seed, folder)
            truth = None if truth is None else _sampled(truth, sample_size, sample_seed, folder)
    return PreparedPoints(points, truth, sample_size, dataset.d)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time downloads; the kernel lets go of the lock when its holder dies."""
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetched(store: ObjectStore, key: str, sha256: str, shape: tuple[int, ...], folder: Path) -> Path:
    target = folder / f"{'points' if len(shape) == 2 else 'truth'}-{sha256[:16]}.npy"

    def download(partial: Path) -> None:
        try:
            store.download(key, partial)
        except ObjectMissingError as error:
            raise _corrupt(key, "it is not in the store") from error
        found = file_sha256(partial)
        if found != sha256:
            raise _corrupt(key, f"its {partial.stat().st_size:,} bytes have sha256 {found}, the record says {sha256}")
        matrix = _mapped(partial, key)
        kind = "<f8" if len(shape) == 2 else "<i8"
        if matrix.shape != shape or matrix.dtype.str != kind or not matrix.flags.c_contiguous:
            raise _corrupt(key, f"it holds {matrix.dtype.str} {matrix.shape}, the record says {kind} {shape}")

    return _written_once(target, download)


def _sampled(whole: Path, size: int, seed: int, folder: Path) -> Path:
    import numpy as np

    def take(partial: Path) -> None:
        rows = np.load(whole, mmap_mode="r", allow_pickle=False)
        with partial.open("xb") as file:
            np.save(file, rows[sample_rows(len(rows), size, seed)], allow_pickle=False)

    return _written_once(folder / f"{whole.stem}-{size}-{seed}.npy", take)


def _written_once(target: Path, write: Callable[[Path], None]) -> Path:
    if target.exists():
        return target
    partial = target.with_name(f".{uuid4().hex}.npy")
    try:
        write(partial)
        # Read-only: the processes that measure map this file, and none may change it for the others.
        partial.chmod(0o400)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _mapped(path: Path, key: str) -> Any:
    import numpy as np

    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise _corrupt(key, f"it is not an npy file of numbers: {error}") from error


def _corrupt(key: str, what: str) -> ArtifactCorrupt:
    return ArtifactCorrupt(
        Failure.of(FailureCode.ARTIFACT_CORRUPT, f"stored object {key}: {what}", "Prepare the dataset again.", key=key)
    )

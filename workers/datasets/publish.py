"""Puts a prepared dataset version into the object store, under the hash of its content."""

from __future__ import annotations

from pathlib import Path

from app.contracts.dataset import PreparedDataset
from app.contracts.objects import ObjectMissingError, ObjectStore, dataset_prefix
from workers.datasets.prepared import PreparedFiles


def publish(store: ObjectStore, files: PreparedFiles) -> PreparedDataset:
    """Idempotent: what is there with the right size stays. Raises StoreUnavailableError."""
    prefix = dataset_prefix(files.sha256)
    points_key = f"{prefix}points.npy"
    truth_key = f"{prefix}truth.npy" if files.truth is not None else None
    _ensure(store, points_key, files.points)
    if truth_key is not None and files.truth is not None:
        _ensure(store, truth_key, files.truth)
    return PreparedDataset(
        sha256=files.sha256,
        n=files.n,
        d=files.d,
        points_key=points_key,
        points_sha256=files.points_sha256,
        truth_key=truth_key,
        truth_sha256=files.truth_sha256,
        profile=files.profile,
    )


def _ensure(store: ObjectStore, key: str, source: Path) -> None:
    try:
        if store.size(key) == source.stat().st_size:
            return
    except ObjectMissingError:
        pass
    store.upload(key, source)

"""The object store as the rest of corepoint sees it, and where each object lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from uuid import UUID


class ObjectMissingError(LookupError):
    """No object at this key."""


class ObjectExistsError(Exception):
    """`put_once` met an object that is already there (HTTP 412): adopt it."""


class StoreUnavailableError(ConnectionError):
    """The store did not answer within its bounds, or refused; the call may be repeated later."""


class ObjectStore(Protocol):
    """S3 or a folder. Keys are relative, slash-separated. Calls block; any may raise StoreUnavailableError."""

    def get(self, key: str) -> bytes: ...
    def put(self, key: str, body: bytes) -> None: ...
    def put_once(self, key: str, body: bytes) -> None:
        """Write only if nothing is there (If-None-Match: *). Raises ObjectExistsError."""
        ...

    def download(self, key: str, target: Path) -> None: ...
    def upload(self, key: str, source: Path) -> None: ...
    def exists(self, key: str) -> bool: ...
    def size(self, key: str) -> int: ...
    def keys(self, prefix: str) -> Iterator[str]: ...
    def delete(self, key: str) -> None: ...

    def for_bucket(self, bucket: str) -> ObjectStore:
        """The same store, another bucket. Raises PermissionError unless settings allow the bucket."""
        ...


def upload_key(upload_id: UUID) -> str:
    return f"uploads/{upload_id}"


def dataset_prefix(sha256: str) -> str:
    return f"datasets/{sha256}/"


def dataset_versions_prefix(half: UUID) -> str:
    """Of the versions, one at most, whose sha256 begins so."""
    return f"datasets/{half.hex}"


def version_id(sha256: str) -> UUID:
    """The first half of a version's sha256: enough to know it by, and as long as every other id."""
    return UUID(hex=sha256[:32])


def run_prefix(run_id: UUID) -> str:
    return f"runs/{run_id}/"


def batches_prefix(run_id: UUID) -> str:
    """All that its batches left, but not the manifests of its trials."""
    return f"runs/{run_id}/batches/"


def rounds_prefix(run_id: UUID, batch_id: UUID) -> str:
    return f"runs/{run_id}/batches/{batch_id}/rounds/"


def round_key(run_id: UUID, batch_id: UUID, number: int) -> str:
    """Free of the attempt, so that a retry finds it and two attempts cannot both write it."""
    return f"{rounds_prefix(run_id, batch_id)}{number:03d}.json"


def partial_rounds_prefix(run_id: UUID, batch_id: UUID) -> str:
    return f"runs/{run_id}/batches/{batch_id}/partial-rounds/"


def partial_round_key(run_id: UUID, batch_id: UUID, number: int, attempt: int) -> str:
    """Of the attempt that was interrupted; beside the rounds, not among them: a part must never be read as a whole."""
    return f"{partial_rounds_prefix(run_id, batch_id)}{number:03d}-a{attempt}.json"


def attempt_prefix(run_id: UUID, batch_id: UUID, attempt: int) -> str:
    return f"runs/{run_id}/batches/{batch_id}/a{attempt}/"


def cancelled_key(run_id: UUID, batch_id: UUID, attempt: int) -> str:
    """Lies there when the attempt was cancelled: a driver that is asked to stop need not finish its sample."""
    return f"{attempt_prefix(run_id, batch_id, attempt)}cancelled"


def labels_key(run_id: UUID, batch_id: UUID, attempt: int, trial_id: UUID) -> str:
    return f"{attempt_prefix(run_id, batch_id, attempt)}{trial_id}/labels.parquet"


def assignment_key(run_id: UUID, batch_id: UUID, attempt: int) -> str:
    """What a Spark driver is to measure: the assignment without its token."""
    return f"{attempt_prefix(run_id, batch_id, attempt)}assignment.json"


def tables_prefix(run_id: UUID, batch_id: UUID, attempt: int) -> str:
    """Of an attempt's Spark tables, which are gone when it has ended."""
    return f"{attempt_prefix(run_id, batch_id, attempt)}tables/"


def outcome_key(run_id: UUID, batch_id: UUID, attempt: int) -> str:
    return f"{attempt_prefix(run_id, batch_id, attempt)}outcome.json"


def manifest_key(run_id: UUID, trial_id: UUID) -> str:
    return f"runs/{run_id}/trials/{trial_id}/manifest.json"

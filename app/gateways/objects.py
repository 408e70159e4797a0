"""Opens the object store that the settings name. The stores themselves: object_folder (a folder), object_s3 (S3)."""

from __future__ import annotations

from app.contracts.objects import ObjectStore
from app.contracts.store import StoreConfig
from app.gateways.object_folder import FolderStore
from app.gateways.object_s3 import S3Store

__all__ = ["FolderStore", "S3Store", "ensure_bucket", "open_store"]


def open_store(config: StoreConfig) -> ObjectStore:
    """The store of `config`; nothing is asked of an S3 server yet."""
    if config.kind == "folder":
        return FolderStore(config.root, config.bucket, config.allowed_buckets)
    return _s3_store(config)


def ensure_bucket(config: StoreConfig) -> None:
    """The bucket of `config` exists. A folder's does with its first object. Raises StoreUnavailableError."""
    if config.kind == "s3":
        _s3_store(config).ensure_bucket()


def _s3_store(config: StoreConfig) -> S3Store:
    return S3Store(
        endpoint=config.endpoint,
        region=config.region,
        access_key=config.access_key,
        secret_key=config.secret_key,
        bucket=config.bucket,
        allowed_buckets=config.allowed_buckets,
    )

"""Opens the object store that the settings name. The stores themselves: object_folder (a folder), object_s3 (S3)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from app.contracts.objects import ObjectStore
from app.gateways.object_folder import FolderStore
from app.gateways.object_keys import check_bucket
from app.gateways.object_s3 import S3Store

__all__ = ["FolderStore", "S3Store", "StoreConfig", "StoreSettings", "open_store", "store_config"]


class StoreSettings(Protocol):
    """What the settings of the control plane and of the workers say about the store, each in a class of its own."""

    @property
    def kind(self) -> Literal["folder", "s3"]: ...
    @property
    def bucket(self) -> str: ...
    @property
    def allowed_buckets(self) -> frozenset[str]: ...
    @property
    def root(self) -> Path | None: ...
    @property
    def endpoint(self) -> str | None: ...
    @property
    def access_key(self) -> str | None: ...
    @property
    def secret_key(self) -> SecretStr | None: ...


class StoreConfig(BaseModel):
    """Where objects lie. `allowed_buckets` are further buckets that `for_bucket` may open.

    Without access_key and secret_key, S3 credentials come from boto3's own chain (a pod identity, for example);
    without an endpoint, requests go to AWS.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["folder", "s3"]
    bucket: str = "corepoint"
    allowed_buckets: frozenset[str] = frozenset()
    root: Path | None = None
    endpoint: str | None = None
    access_key: str | None = None
    secret_key: SecretStr | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "folder" and self.root is None:
            raise ValueError("a folder store needs `root`")
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key come together")
        for bucket in (self.bucket, *self.allowed_buckets):
            check_bucket(bucket)
        return self


def store_config(settings: StoreSettings) -> StoreConfig:
    """The checked form of `settings`. Raises pydantic.ValidationError."""
    return StoreConfig(
        kind=settings.kind,
        bucket=settings.bucket,
        allowed_buckets=settings.allowed_buckets,
        root=settings.root,
        endpoint=settings.endpoint,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
    )


def open_store(settings: StoreSettings) -> ObjectStore:
    """The store that the settings name; nothing is asked of an S3 server yet. Raises pydantic.ValidationError."""
    config = store_config(settings)
    if config.root is not None and config.kind == "folder":
        return FolderStore(config.root, config.bucket, config.allowed_buckets)
    return S3Store(
        endpoint=config.endpoint,
        access_key=config.access_key,
        secret_key=config.secret_key,
        bucket=config.bucket,
        allowed_buckets=config.allowed_buckets,
    )

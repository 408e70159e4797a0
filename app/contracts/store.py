"""Where the objects lie: the one description that control plane and workers share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, SecretStr, StringConstraints, model_validator

BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]


class StoreConfig(BaseModel):
    """`allowed_buckets` are further buckets that `for_bucket` may open.

    Without access_key and secret_key, S3 credentials come from boto3's own chain (a pod identity, for example);
    without an endpoint, requests go to AWS.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["folder", "s3"] = "folder"
    bucket: BucketName = "corepoint"
    allowed_buckets: frozenset[BucketName] = frozenset()
    root: Path = Path("objects")
    endpoint: str | None = None
    region: str = "us-east-1"  # S3 look-alikes ignore it, but signatures need one
    access_key: str | None = None
    secret_key: SecretStr | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key come together")
        return self

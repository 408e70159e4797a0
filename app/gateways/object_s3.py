"""An object store on any S3: only calls that MinIO, SeaweedFS, versitygw and AWS all answer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from app.contracts.objects import ObjectExistsError, ObjectMissingError, StoreUnavailableError
from app.gateways.object_keys import check_bucket, check_key, check_prefix

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig
    from mypy_boto3_s3 import S3Client

_CONNECT_SECONDS = 5
_READ_SECONDS = 20
_TRIES = 3
_MISSING = {"404", "NoSuchKey", "NotFound"}
_CONFLICT_PAUSE_SECONDS = 0.05
_SKEWED = {"RequestTimeTooSkewed", "RequestExpired"}
_SKEW_HINT = "the clocks of the store and of this machine differ by minutes; have both set by NTP"


class S3Store:
    """Safe to share between threads (a boto3 client is)."""

    def __init__(
        self,
        *,
        endpoint: str | None,
        region: str,
        access_key: str | None,
        secret_key: SecretStr | None,
        bucket: str,
        allowed_buckets: frozenset[str],
        client: S3Client | None = None,
    ) -> None:
        self._bucket = check_bucket(bucket)
        self._allowed = allowed_buckets
        self._client = client or _connect(endpoint, region, access_key, secret_key)
        self._region = region

    def for_bucket(self, bucket: str) -> S3Store:
        if bucket != self._bucket and bucket not in self._allowed:
            raise PermissionError(f"bucket {bucket!r} is not among those the settings allow")
        return S3Store(
            endpoint=None,
            region=self._region,
            access_key=None,
            secret_key=None,
            bucket=bucket,
            allowed_buckets=self._allowed | {self._bucket},
            client=self._client,
        )

    def ensure_bucket(self) -> None:
        """Asks before it creates: keys of an external store may allow the one and not the other."""
        with _translated(self._bucket):
            try:
                self._client.head_bucket(Bucket=self._bucket)
            except self._client.exceptions.ClientError as error:
                if error.response.get("Error", {}).get("Code") not in _MISSING | {"NoSuchBucket"}:
                    raise
                self._create_bucket()

    def _create_bucket(self) -> None:
        if self._region == "us-east-1":  # the one region that AWS refuses to be told
            self._client.create_bucket(Bucket=self._bucket)
        else:
            constraint: Any = {"LocationConstraint": self._region}
            self._client.create_bucket(Bucket=self._bucket, CreateBucketConfiguration=constraint)

    def get(self, key: str) -> bytes:
        with self._asking(key):
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    def download(self, key: str, target: Path) -> None:
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with partial.open("xb") as copy, self._asking(key):
                self._client.download_fileobj(self._bucket, key, copy, Config=_one_stream())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def put(self, key: str, body: bytes) -> None:
        with self._asking(key):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body)

    def put_once(self, key: str, body: bytes) -> None:
        """A repeated try after a lost answer may meet our own object: the caller adopts it either way."""
        for last in (False, False, True):
            try:
                with self._asking(key):
                    self._client.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
                return
            except _ConflictError:
                # Another conditional write is under way; S3's documentation says to try again.
                if last:
                    raise
                time.sleep(_CONFLICT_PAUSE_SECONDS)

    def upload(self, key: str, source: Path) -> None:
        """In parts if it is large; parts of an upload that failed are given up, as far as the store still answers."""
        with source.open("rb") as original, self._asking(key):
            self._client.upload_fileobj(original, self._bucket, key, Config=_one_stream())

    def exists(self, key: str) -> bool:
        try:
            self.size(key)
        except ObjectMissingError:
            return False
        return True

    def size(self, key: str) -> int:
        with self._asking(key):
            return self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]

    def keys(self, prefix: str) -> Iterator[str]:
        check_prefix(prefix)
        pages = iter(self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix))
        while True:
            with _translated(prefix):
                page = next(pages, None)
            if page is None:
                return
            for item in page.get("Contents", []):
                yield item["Key"]

    def delete(self, key: str) -> None:
        with self._asking(key):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        check_key(key)
        with _translated(key):
            yield


class _ConflictError(StoreUnavailableError):
    """HTTP 409."""


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """boto3's many errors as the three of the contract."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        yield
    except ClientError as error:
        raise _answered(key, error.response) from error
    except (BotoCoreError, HTTPClientError, Boto3Error) as error:
        raise StoreUnavailableError(f"the object store did not answer for {key!r}: {error}") from error


def _answered(key: str, response: Any) -> Exception:
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _MISSING:
        return ObjectMissingError(key)
    if status == 412:
        return ObjectExistsError(key)
    if status == 409:
        return _ConflictError(f"conflict on {key!r}: {code}")
    hint = f": {_SKEW_HINT}" if code in _SKEWED else ""
    return StoreUnavailableError(f"the object store refused {key!r}: {code or status}{hint}")


def _one_stream() -> TransferConfig:
    """boto3's threads are joined when the interpreter ends, however long the store keeps them: a cancelled attempt
    would outlive its cancel."""
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(use_threads=False)


def _connect(endpoint: str | None, region: str, access_key: str | None, secret_key: SecretStr | None) -> S3Client:
    # Imported here: boto3 costs a quarter of a second, and embedded mode never needs it.
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key.get_secret_value() if secret_key else None,
        region_name=region,
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"total_max_attempts": _TRIES, "mode": "standard"},
            s3={"addressing_style": "path"},
            # Newer boto3 sends CRC32 trailers by default, which many S3 look-alikes refuse.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )

"""What a bucket and a key may look like, the same for every store."""

from __future__ import annotations

import re

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
# S3 bounds the whole key, file systems each segment.
_KEY_BYTES = 1_024
_SEGMENT_BYTES = 255


def check_bucket(bucket: str) -> str:
    """`bucket` itself. Raises ValueError unless it is an S3 bucket name."""
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise ValueError(f"{bucket!r} is not a bucket name (3 to 63 of a-z, 0-9, '.', '-')")
    return bucket


def check_key(key: str) -> list[str]:
    """The segments of `key`. Raises ValueError for what is absolute, climbs, is empty, or holds control characters."""
    if _FORBIDDEN.search(key):
        raise ValueError(f"key {key!r} holds a backslash or a control character")
    if len(key.encode()) > _KEY_BYTES:
        raise ValueError(f"key of {len(key.encode())} bytes is longer than {_KEY_BYTES}")
    segments = key.split("/")
    for segment in segments:
        if segment in {"", ".", ".."} or len(segment.encode()) > _SEGMENT_BYTES:
            raise ValueError(f"key {key[:200]!r} has a segment that is empty, '.', '..' or over {_SEGMENT_BYTES} bytes")
    return segments


def check_prefix(prefix: str) -> str:
    """`prefix` itself: empty, or a key with or without one slash at its end. Raises ValueError otherwise."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix

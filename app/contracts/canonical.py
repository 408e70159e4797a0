"""One spelling for equal values, so that hashes, seeds and reuse keys do not depend on key order or layout."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

_NAMESPACE = uuid5(NAMESPACE_URL, "https://corepoint.dev/identity")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no blanks. Raises ValueError for NaN and infinities, TypeError for other types."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """sha256 (64 hex digits) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def derived_id(parent: UUID, **identity: Any) -> UUID:
    """The id of a thing that is fully determined by its parent and its identity (uuid5 over canonical JSON)."""
    return uuid5(_NAMESPACE, canonical_json({"parent": str(parent), **identity}))


def derived_seed(seed: int, **identity: Any) -> int:
    """A 32-bit seed that depends on `seed` and `identity` alone."""
    return int(digest({"seed": seed, **identity})[:8], 16)


def sorted_items(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: values[key] for key in sorted(values)}

"""Where leaves go: a hash that we can compute, so that every leaf gets a shuffle partition of its own."""

from __future__ import annotations

from itertools import count

import numpy as np
from numpy.typing import NDArray

_SEED = 42  # of Spark's hash(), org.apache.spark.sql.catalyst.expressions.Murmur3Hash


def spark_hash(value: int) -> int:
    """Spark's hash() of one 32-bit integer: Murmur3 x86_32 (A. Appleby, public domain), as a signed integer."""
    k = _rotated(value * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF
    h = _rotated(_SEED ^ k, 13) * 5 + 0xE6546B64 & 0xFFFFFFFF
    h ^= 4  # length in bytes
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    h ^= h >> 16
    return h - 2**32 if h >= 2**31 else h


def slots(partitions: int) -> NDArray[np.int32]:
    """A key for each of `partitions` leaves; repartition(partitions, key) puts leaf i alone into partition i."""
    keys = np.full(partitions, -1, dtype=np.int32)
    waiting = partitions
    for key in count():
        place = spark_hash(key) % partitions
        if keys[place] < 0:
            keys[place] = key
            waiting -= 1
            if not waiting:
                return keys
    raise AssertionError("unreachable")


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & 0xFFFFFFFF

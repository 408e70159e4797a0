"""How much memory a trial gets when it has a pod of its own."""

from __future__ import annotations

from typing import Final

HEADROOM: Final = 1.5
"""Over the estimate, which is within ±30 % of what is measured: the worst of those needs 1 / 0.7 of it."""

LEAST_HEADROOM_BYTES: Final = 256 * 2**20
"""Below half a gibibyte the libraries that a fit imports late decide, and the estimate knows nothing of them."""


def sample_limit(predicted_bytes: int | None, users_bytes: int | None, queue_bytes: int) -> int:
    """Bytes that one sample may use: the user's limit, else the estimate with headroom; never more than the queue's.

    Without an estimate it is the queue's.
    """
    if users_bytes is not None:
        return min(users_bytes, queue_bytes)
    if predicted_bytes is None:
        return queue_bytes
    generous = max(int(predicted_bytes * HEADROOM), predicted_bytes + LEAST_HEADROOM_BYTES)
    return min(generous, queue_bytes)

"""Which rows a smaller sample holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def sample_rows(n: int, size: int, seed: int) -> NDArray[np.int64]:
    """int64 (size,), rising. The rows with the `size` smallest of n seeded keys, so smaller samples lie in larger.

    Keys are raw output of PCG64: NumPy promises that stream for ever, but not that of `permutation`.
    Raises ValueError unless 1 <= size <= n.
    """
    import numpy as np

    if not 1 <= size <= n:
        raise ValueError(f"a sample of {size} points out of {n}")
    keys = np.random.PCG64(seed).random_raw(n)
    last = np.partition(keys, size - 1)[size - 1]
    below = np.flatnonzero(keys < last)
    ties = np.flatnonzero(keys == last)[: size - len(below)]
    return np.sort(np.concatenate([below, ties]))

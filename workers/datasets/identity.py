"""What makes two dataset versions the same."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHUNK_BYTES = 16 << 20


def dataset_sha256(points: NDArray[np.float64], truth: NDArray[np.int64] | None) -> str:
    """sha256 over shape, dtype and little-endian bytes of points (C order) and, where there is one, truth."""
    import numpy as np

    digest = hashlib.sha256()
    digest.update(f"corepoint dataset 1\npoints <f8 {points.shape[0]} {points.shape[1]}\n".encode())
    digest.update(np.ascontiguousarray(points, "<f8").data.cast("B"))
    if truth is not None:
        digest.update(f"\ntruth <i8 {truth.shape[0]}\n".encode())
        digest.update(np.ascontiguousarray(truth, "<i8").data.cast("B"))
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()

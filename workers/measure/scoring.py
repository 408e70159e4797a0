"""What is learned from a clustering after its fit: is it one at all, its identity, its quality, its labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.contracts.measurement import Fingerprint, Quality
from workers.algorithms.adapter import Clustering
from workers.evaluate.canonical import canonical_labels, labels_sha256
from workers.evaluate.fingerprint import fingerprint
from workers.evaluate.quality import quality
from workers.evaluate.validate import InvalidResult, check
from workers.measure.messages import FitRequest

MAX_DETAILS = 16 * 1024
"""Characters of an adapter's details as JSON."""


class Score(NamedTuple):
    fingerprint: Fingerprint
    quality: Quality


def checked_labels(clustering: Clustering, n: int) -> NDArray[np.int64]:
    """Canonical labels int64 (n,). Raises InvalidResult."""
    check(clustering, n)
    _check_details(clustering.details)
    return canonical_labels(clustering.labels, clustering.core)


def _check_details(details: dict[str, Any]) -> None:
    text = json.dumps(details, ensure_ascii=False)
    if len(text) > MAX_DETAILS:
        raise InvalidResult(f"details have more than {MAX_DETAILS} characters")
    # PostgreSQL stores no NUL and UTF-8 has no lone surrogates: better refused here than when the result is stored.
    if "\\u0000" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidResult("details hold characters that are no text")


def sha256(canonical: NDArray[np.int64]) -> str:
    return labels_sha256(canonical)


def score(
    points: NDArray[np.float64],
    canonical: NDArray[np.int64],
    core: NDArray[np.bool_],
    request: FitRequest,
) -> Score:
    """Fingerprint and quality of a checked clustering of points (n, d)."""
    eps = request.parameters.get("eps")
    true_labels = np.load(request.truth, mmap_mode="r", allow_pickle=False) if request.truth is not None else None
    identity = fingerprint(points, canonical, core, float(eps) if isinstance(eps, int | float) else None)
    figures = quality(points, canonical, core, true_labels, request.seed)
    return Score(identity, figures)


def write_labels(canonical: NDArray[np.int64], core: NDArray[np.bool_], path: Path) -> None:
    """Columns `label` int64 (noise -1) and `core` bool; row i is point i."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"label": canonical, "core": core}), path, compression="zstd")

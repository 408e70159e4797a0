"""Prepared points, as files on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.contracts.dataset import Profile


@dataclass(frozen=True)
class PreparedPoints:
    """What a trial measures. points: npy float64 (n, d), C order; truth: npy int64 (n,), noise -1, or None."""

    points: Path
    truth: Path | None
    n: int
    d: int


@dataclass(frozen=True)
class PreparedFiles:
    """A prepared dataset version before it is published. `sha256` is that of `workers.datasets.identity`."""

    points: Path
    truth: Path | None
    sha256: str
    points_sha256: str
    truth_sha256: str | None
    n: int
    d: int
    profile: Profile

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.contracts.dataset import DatasetSpec, Profile
from workers.datasets.child import POINTS, TRUTH, Order, make
from workers.datasets.limits import PrepareLimits

Made = tuple[NDArray[np.float64], NDArray[np.int64] | None, Profile]

UPLOAD = {"upload": "0193a5a0-0000-7000-8000-000000000000"}


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Made]:
    """Prepares in this process what `prepare` makes in a child: points, truth, profile."""

    def prepared(content: bytes | None = None, limits: PrepareLimits | None = None, **spec: Any) -> Made:
        file = None
        if content is not None:
            file = tmp_path / "source"
            file.write_bytes(content)
        spec.setdefault("source", UPLOAD)
        order = Order(
            spec=DatasetSpec(name="data", **spec), source_file=file, out_dir=tmp_path, limits=limits or PrepareLimits()
        )
        (tmp_path / TRUTH).unlink(missing_ok=True)
        profile = make(order).profile
        truth = np.load(tmp_path / TRUTH) if (tmp_path / TRUTH).exists() else None
        return np.load(tmp_path / POINTS), truth, profile

    return prepared

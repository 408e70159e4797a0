"""An installation of real processes to put under load, and what users of the measurements create in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from app.settings import Settings
from tests.faults.environments import TIMES
from tests.faults.place import Place

DATASET = {"name": "small", "source": {"generate": {"kind": "blobs", "n": 100, "centers": 3, "spread": 0.3, "seed": 1}}}
READY_SECONDS = 120.0


@contextmanager
def installation(workers: int, dispatchers: int = 1) -> Iterator[Place]:
    """PostgreSQL, MinIO, Prefect on PostgreSQL, MLflow, an API, dispatchers and workers, with the times of production.

    It has the dataset `small`, of 100 points.
    """
    with TemporaryDirectory(prefix="corepoint-bench-") as folder:
        place = Place(Path(folder), **_times_of_production())
        with place.running(dispatchers=dispatchers, workers=max(1, workers)):
            if place.post("/v1/datasets", DATASET).status_code != httpx.codes.ACCEPTED:
                raise RuntimeError("the dataset could not be created")
            wait(lambda: place.get("/v1/datasets/small")["state"] == "ready", READY_SECONDS, "the dataset")
            if not workers:
                place.part("worker-1").end()
            yield place


def _times_of_production() -> dict[str, str]:
    """In place of the short ones, with which tests see a loss sooner."""
    settings = Settings()
    found = {}
    for name in TIMES:
        section, _, field = name.removeprefix("COREPOINT_").lower().partition("__")
        found[name] = str(getattr(getattr(settings, section), field))
    return found


def small_experiment(name: str, **changes: Any) -> dict[str, Any]:
    """One batch with one trial of one sample."""
    return {
        "name": name,
        "datasets": ["small"],
        "parameters": {"eps": 0.15, "min_samples": 10},
        "algorithms": [{"algorithm": "sklearn-dbscan"}],
        "protocol": {"rounds": 1, "warmUp": 0, "reuse": "never"},
        **changes,
    }


def wait(condition: Callable[[], Any], seconds: float, what: str, pause: float = 1.0) -> None:
    """Raises TimeoutError. `pause`: looking must not be a load of its own."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(pause)

"""What a preview measures: the experiment's own path, with few rows and one round."""

from __future__ import annotations

from typing import Final

from app.contracts.experiment import ExperimentSpec, SampleSize
from app.contracts.problems import ProblemCode
from app.contracts.run_request import MAX_PREVIEW_TRIALS
from app.domain.planned import PlanError

SAMPLE_SECONDS: Final = 120.0
"""Enough for the start of a Spark session on a busy machine; a fit of so few rows needs none of it."""


def preview_of(spec: ExperimentSpec, rows: int) -> ExperimentSpec:
    """The same contenders on at most `rows` rows of each dataset: one round without warm-up, in processes.

    It is never reused, reuses nothing, tells nobody, and has no schedule.
    """
    limits = spec.protocol.limits
    protocol = spec.protocol.model_copy(
        update={
            "rounds": 1,
            "warm_up": 0,
            "colocate": False,
            "isolation": "process",
            "reuse": "never",
            "limits": limits.model_copy(update={"sample_seconds": min(limits.sample_seconds, SAMPLE_SECONDS)}),
        }
    )
    sizes = list(dict.fromkeys(_capped(size, rows) for size in spec.sample_sizes))
    return spec.model_copy(
        update={
            "sample_sizes": sizes,
            "protocol": protocol,
            "schedule": None,
            "notifications": [],
            "queue": None,
        }
    )


def refuse_too_many(trials: int) -> None:
    """Raises PlanError."""
    if trials > MAX_PREVIEW_TRIALS:
        message = f"it would measure {trials} trials, a preview has at most {MAX_PREVIEW_TRIALS}"
        raise PlanError(ProblemCode.GRID_TOO_LARGE, "/preview", message)


def remark(preview: ExperimentSpec) -> str:
    """What everybody who sees its figures is told."""
    rows = max(size for size in preview.sample_sizes if size != "all")
    return f"A preview of at most {rows:,} rows in one round: not a measurement."


def _capped(size: SampleSize, rows: int) -> int:
    return rows if size == "all" else min(size, rows)

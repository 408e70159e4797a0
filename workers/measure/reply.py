"""One sample from request to reply, in the process that fits: load, warm up, fit, check, score."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.contracts.failures import Failure, FailureCode
from workers.measure.messages import LABELS_FILE, FitReply, FitRequest
from workers.measure.phases import PhaseClock
from workers.measure.text import as_text

if TYPE_CHECKING:
    from workers.measure.fitting import Fitter

TRACEBACK_TAIL = 4_000


def sample(  # noqa: PLR0917 - what a sample needs, each of another kind
    fitter: Fitter,
    request: FitRequest,
    clock: PhaseClock,
    folder: Path,
    wait_for_go: Callable[[], None],
    fitted: Callable[[], None],
) -> FitReply:
    """In the memory pass, `wait_for_go` is called right before the fit and `fitted` right after it; labels.parquet is
    then left in `folder`. Raises what the adapter raises, and what `failure` knows."""
    from workers.measure import scoring

    points = fitter.load(request)
    fitter.warm_up(points, request)
    found = fitter.fit(points, request, wait_for_go)
    if request.memory_pass:
        fitted()
    scored = None
    with clock.timing("score"):
        canonical = scoring.checked_labels(found.clustering, request.n)
        if request.memory_pass:
            core = found.clustering.core
            scored = scoring.score(points, canonical, core, request)
            scoring.write_labels(canonical, core, folder / LABELS_FILE)
        labels_sha256 = scoring.sha256(canonical)
    return FitReply(
        phases=clock.phases,
        fit_cpu_seconds=found.cpu_seconds,
        memory=found.memory,
        evidence=found.evidence,
        labels_sha256=labels_sha256,
        fingerprint=scored.fingerprint if scored else None,
        quality=scored.quality if scored else None,
        details=found.clustering.details if scored else {},
    )


def failure(error: Exception, clock: PhaseClock) -> Failure:
    """What an exception of `sample` means. Its traceback is printed, and its tail kept."""
    traceback.print_exception(error)
    text = as_text("".join(traceback.format_exception(error)))[-TRACEBACK_TAIL:]
    message = as_text(f"{type(error).__name__}: {error}")
    return Failure.of(_code(error, clock), message, phase=clock.current, traceback=text)


def _code(error: Exception, clock: PhaseClock) -> FailureCode:
    from workers.evaluate.validate import InvalidResult
    from workers.measure.fitting import CorruptDataError

    if isinstance(error, MemoryError):
        return FailureCode.MEMOUT
    if isinstance(error, InvalidResult):
        return FailureCode.INVALID_RESULT
    if isinstance(error, CorruptDataError):
        return FailureCode.ARTIFACT_CORRUPT
    # What goes wrong while we score a checked result is ours, the rest is the adapter's.
    return FailureCode.INTERNAL if clock.current == "score" else FailureCode.ADAPTER_ERROR

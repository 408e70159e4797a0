"""What an error of Spark says about a sample: out of memory, ended from outside, or neither."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from app.contracts.failures import Failure, FailureCode
from workers.measure.text import as_text

_MEMORY = re.compile(
    r".*(possible container OOM|OOMKilled|exit code 137|exit code 52\b|OutOfMemoryError|\bMemoryError\b).*"
)
"""137: the kernel ended the container; 52: the JVM ended itself (org.apache.spark.util.SparkExitCode)."""
_OUTSIDE = re.compile(
    r".*(ExecutorLostFailure|Executor heartbeat timed out|FetchFailed|MetadataFetchFailed"
    r"|SparkContext (was|is) (shut down|stopped|being shutdown)|Answer from Java side is empty"
    r"|[Cc]annot call methods on a stopped SparkContext|Connection refused).*"
)
_PYTHON_DIED = "Python worker exited unexpectedly"
LINE = 1_000
_HINT = "Raise the executors' memory or number (spark.executor in the chart's values), or lower eps."


class Diagnosis(NamedTuple):
    """`outside`: the algorithm has no part in it, and one more try is fair."""

    failure: Failure
    outside: bool


def diagnose(error: Exception, phase: str, numbers: dict[str, Any], oom_kills: Callable[[], int]) -> Diagnosis | None:
    """None: an error like any other. `numbers` of the executors go into the failure's detail; `oom_kills` is called
    where only executors can tell whether it was memory."""
    text = as_text(str(error))
    if _PYTHON_DIED in text:
        return _python_died(phase, numbers, oom_kills)
    if found := _MEMORY.search(text):
        line = found[0].strip()[:LINE]
        message = f"an executor ran out of memory in the phase {phase}: {line}"
        return Diagnosis(Failure.of(FailureCode.MEMOUT, message, _HINT, phase=phase, **numbers), outside=False)
    if found := _OUTSIDE.search(text):
        line = found[0].strip()[:LINE]
        message = f"an executor was lost in the phase {phase}: {line}"
        return Diagnosis(Failure.of(FailureCode.KILLED, message, phase=phase, **numbers), outside=True)
    return None


def _python_died(phase: str, numbers: dict[str, Any], oom_kills: Callable[[], int]) -> Diagnosis:
    killed = oom_kills()
    if killed:
        message = f"the kernel ended a Python worker for its executor's memory in the phase {phase}"
        detail = {**numbers, "oom_kills": killed}
        return Diagnosis(Failure.of(FailureCode.MEMOUT, message, _HINT, phase=phase, **detail), outside=False)
    message = f"a Python worker of an executor crashed in the phase {phase}"
    hint = "The log of the executor's pod shows its last words."
    return Diagnosis(Failure.of(FailureCode.CRASH, message, hint, phase=phase, **numbers), outside=False)

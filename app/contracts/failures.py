"""Why a trial, batch or dataset did not succeed: a closed list of codes, each with its hint."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from app.contracts.base import Message


class FailureCode(StrEnum):
    TIMEOUT = "timeout"
    MEMOUT = "memout"
    CRASH = "crash"
    KILLED = "killed"
    OOM_KILLED = "oom_killed"
    EVICTED = "evicted"
    ADAPTER_ERROR = "adapter_error"
    INVALID_DATA = "invalid_data"
    INVALID_RESULT = "invalid_result"
    NOT_AVAILABLE = "not_available"
    NOT_SUPPORTED = "not_supported"
    TOO_LARGE = "too_large"
    SPARK_SUBMIT = "spark_submit"
    IMAGE_PULL = "image_pull"
    UNSCHEDULABLE = "unschedulable"
    LOST = "lost"
    ARTIFACT_CORRUPT = "artifact_corrupt"
    DATASET_FAILED = "dataset_failed"
    INTERNAL = "internal"


HINTS: dict[FailureCode, str] = {
    FailureCode.TIMEOUT: "Raise protocol.limits.sampleSeconds, or use fewer points.",
    FailureCode.MEMOUT: "Raise protocol.limits.memory, route the trial to a larger queue, or lower eps.",
    FailureCode.CRASH: "What was started ended on its own; the trial's log tail or the pod's log shows its last words.",
    FailureCode.KILLED: "Something outside corepoint killed the child process, twice; see who has access to the node.",
    FailureCode.OOM_KILLED: "The kernel was sooner than our watchdog: give the queue more memory, or use fewer points.",
    FailureCode.EVICTED: "The node or an administrator took the pod away, through no fault of the trial; see the node.",
    FailureCode.ADAPTER_ERROR: "The implementation raised an error; the message is its own.",
    FailureCode.INVALID_DATA: "Look at the dataset's profile; declare cleaning for missing or infinite values.",
    FailureCode.INVALID_RESULT: "The implementation returned labels that break its contract; tell its authors.",
    FailureCode.NOT_AVAILABLE: "Install what the message names where the worker runs.",
    FailureCode.NOT_SUPPORTED: "The algorithm's capabilities exclude this; `corepoint describe algorithm` lists them.",
    FailureCode.TOO_LARGE: "Use a smaller sample size or a smaller eps, or give a queue more memory.",
    FailureCode.SPARK_SUBMIT: "Look at the SparkApplication and the operator's log; it must watch the namespace.",
    FailureCode.IMAGE_PULL: "Check the image's name, that the nodes can reach its registry, and the pull secrets.",
    FailureCode.UNSCHEDULABLE: "Free or add nodes, raise the namespace's quota, or ask for fewer or smaller pods.",
    FailureCode.LOST: "The pod or its node vanished without a word; look at the node, and at the pod's events.",
    FailureCode.ARTIFACT_CORRUPT: "A stored object differs from its recorded sha256; run the trial again.",
    FailureCode.DATASET_FAILED: "The dataset could not be prepared; `corepoint describe dataset` says why.",
    FailureCode.INTERNAL: "A defect of corepoint; report it with the request or trial id.",
}


class Failure(Message):
    """A typed reason. `message` says what happened with its numbers, `hint` what to do about it."""

    code: FailureCode
    message: str = Field(max_length=4_000)
    hint: str = ""
    detail: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, code: FailureCode, message: str, hint: str | None = None, **detail: Any) -> Failure:
        return cls(code=code, message=message[:4_000], hint=hint or HINTS[code], detail=detail)

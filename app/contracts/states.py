"""Names of states, queues and isolations. What may follow what stands in `app.domain.lifecycle`."""

from __future__ import annotations

from enum import StrEnum


class QueueName(StrEnum):
    DEFAULT = "default"
    HIGH_MEMORY = "high-memory"
    SPARK = "spark"
    PRIORITY = "priority"


class Isolation(StrEnum):
    PROCESS = "process"  # trials share a worker's pod, each sample is a process of its own
    POD = "pod"  # the trial has a pod of its own, with requests and limits made for it


class RunState(StrEnum):
    PLANNING = "planning"  # waits for dataset versions, then is expanded
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"  # every trial succeeded or was skipped, at least one succeeded
    PARTIAL = "partial"  # some trials failed, some succeeded
    FAILED = "failed"  # no trial succeeded, or the run could not be planned
    CANCELLED = "cancelled"


class BatchState(StrEnum):
    WAITING = "waiting"  # wants a flow run
    SUBMITTED = "submitted"  # Prefect holds a flow run of this attempt
    RUNNING = "running"  # claimed by a worker, lease alive
    FINISHED = "finished"
    CANCELLED = "cancelled"
    LOST = "lost"  # attempts used up


class TrialState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class DatasetState(StrEnum):
    PENDING = "pending"
    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"


class RunTrigger(StrEnum):
    MANUAL = "manual"
    SCHEDULED = "scheduled"
    RETRY = "retry"
    PREVIEW = "preview"


class Verdict(StrEnum):
    IDENTICAL = "identical"
    BORDER_ONLY = "border-only"
    DIFFERENT = "different"

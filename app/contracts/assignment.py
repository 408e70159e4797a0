"""The internal API between flows and control plane: claim, heartbeat, report. Served on a port of its own."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from app.contracts.base import Bytes, Message, Moment, Sha256
from app.contracts.dataset import DatasetSpec, PreparedDataset
from app.contracts.experiment import Protocol
from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import Environment
from app.contracts.states import Isolation, QueueName


class BatchClaim(Message):
    """POST /internal/v1/batches:claim. A manual run names batch and attempt; a scheduled flow run its experiment."""

    batch_id: UUID | None = None
    attempt: int | None = None
    experiment_id: UUID | None = None
    scheduled_for: Moment | None = None
    flow_run_id: str
    worker: str
    environment: Environment


class TrialAssignment(Message):
    trial_id: UUID
    label: str
    algorithm: str
    parameters: dict[str, Any] = Field(description="canonical, validated by the adapter's model")
    dataset: PreparedDataset
    sample_size: int
    sample_seed: int
    seed: int
    predicted_bytes: Bytes | None = None
    is_reference: bool = False


class BatchAssignment(Message):
    """What a worker may know of its batch. `token` allows heartbeat and report for this attempt, nothing else."""

    batch_id: UUID
    run_id: UUID
    attempt: int
    queue: QueueName
    token: str = Field(repr=False)
    heartbeat_seconds: float
    lease_seconds: float
    isolation: Isolation = Isolation.PROCESS
    memory_limit_bytes: Bytes = Field(
        description="of one sample: the user's limit, else the queue's; in a pod of its own, what that pod is made for"
    )
    memory_limit_is_users: bool
    protocol: Protocol
    order_seed: int
    trials: list[TrialAssignment] = Field(description="without those whose results are reused")


class Progress(Message):
    """Where a batch is. Shown live, kept only as long as the batch runs."""

    round: int = 0
    rounds: int = 0
    trial_id: UUID | None = None
    samples_done: int = 0
    samples_total: int = 0


class Heartbeat(Message):
    attempt: int
    progress: Progress = Progress()


class HeartbeatReply(Message):
    """`cancel`: stop the current sample, keep what is saved, report. `fenced`: the attempt is over, write nothing."""

    cancel: bool = False
    fenced: bool = False


NoteKind = Literal["spark_submitted", "spark_waits", "spark_executors", "spark_executor_lost", "spark_ended"]


class BatchNote(Message):
    """Something a worker saw that people will want to know: it becomes an event of the run."""

    attempt: int
    kind: NoteKind
    message: str = Field(max_length=1_000)


class BatchRelease(Message):
    """A worker gives its batch back unfinished; saved rounds stay."""

    attempt: int
    reason: str = Field(max_length=1_000)
    code: FailureCode | None = Field(
        default=None, description="what took the attempt, which then counts as lost; none: its worker drains"
    )
    hint: str | None = Field(default=None, max_length=1_000)


class DatasetClaim(Message):
    dataset_id: UUID
    attempt: int
    flow_run_id: str
    worker: str


class DatasetAssignment(Message):
    dataset_id: UUID
    attempt: int
    token: str = Field(repr=False)
    heartbeat_seconds: float
    spec: DatasetSpec
    object_key: str | None = Field(default=None, description="where the upload lies")
    object_sha256: Sha256 | None = None


class DatasetReport(Message):
    attempt: int
    prepared: PreparedDataset | None = None
    failure: Failure | None = None

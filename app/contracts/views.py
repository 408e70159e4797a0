"""What the public API answers. The same shape in get and in list."""

from __future__ import annotations

from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import Field

from app.contracts.assignment import Progress
from app.contracts.base import Message, Moment
from app.contracts.dataset import DatasetSpec, Profile
from app.contracts.experiment import ExperimentSpec
from app.contracts.failures import Failure
from app.contracts.measurement import MemoryFigure, Quality
from app.contracts.states import BatchState, DatasetState, Isolation, QueueName, RunState, RunTrigger, TrialState

Item = TypeVar("Item")


class Page(Message, Generic[Item]):
    """A keyset page; `next_page_token` is opaque and None on the last page."""

    items: list[Item]
    next_page_token: str | None = None


class DatasetView(Message):
    id: UUID
    name: str
    spec: DatasetSpec
    state: DatasetState
    attempt: int
    sha256: str | None = None
    upload_sha256: str | None = Field(
        default=None, description="of the uploaded bytes: tells a client whether its file is already there"
    )
    profile: Profile | None = None
    failure: Failure | None = None
    created_at: Moment


class UploadView(Message):
    id: UUID
    size_bytes: int
    sha256: str


class ExperimentView(Message):
    id: UUID
    name: str
    spec: ExperimentSpec
    created_at: Moment
    latest_run_id: UUID | None = None
    next_scheduled_for: Moment | None = Field(
        default=None, description="the next time the schedule wants; none without a schedule or while it is paused"
    )
    scheduled_until: Moment | None = Field(
        default=None, description="every planned time up to then has its run, or was missed"
    )
    links: dict[str, str] = {}


class RunView(Message):
    id: UUID
    experiment_id: UUID
    experiment: str
    trigger: RunTrigger
    state: RunState
    created_at: Moment
    finished_at: Moment | None = None
    scheduled_for: Moment | None = None
    trials: dict[TrialState, int] = Field(default_factory=dict, description="number of trials in each state")
    reused_trials: int = 0
    cancel_requested: bool = False
    urgent: bool = Field(default=False, description="what fits `default` was sent to `priority`")
    pinned: bool = Field(default=False, description="retention leaves it alone")
    artifacts_deleted_at: Moment | None = Field(
        default=None, description="since then labels and rounds are gone; manifests and figures stay"
    )
    remarks: list[str] = Field(default_factory=list, description="what to know before its figures are used")
    failure: Failure | None = None
    links: dict[str, str] = {}


class BatchView(Message):
    id: UUID
    run_id: UUID
    position: int
    queue: QueueName
    isolation: Isolation = Isolation.PROCESS
    state: BatchState
    attempt: int
    worker: str | None = None
    progress: Progress | None = None
    estimated_seconds: float
    flow_run_id: str | None = None
    trial_ids: list[UUID] = []


class TrialView(Message):
    id: UUID
    run_id: UUID
    batch_id: UUID | None
    position: int
    label: str
    algorithm: str
    parameters: dict[str, Any]
    dataset: str
    dataset_sha256: str
    sample_size: int
    queue: QueueName | None
    routing: str = Field(description="one sentence: why this queue")
    predicted_bytes: int | None
    state: TrialState
    is_reference: bool
    reused_from: UUID | None = None
    fit_seconds_median: float | None = None
    memory: MemoryFigure | None = None
    quality: Quality | None = None
    failure: Failure | None = None
    manifest_key: str | None = None


class EventView(Message):
    id: UUID
    at: Moment
    kind: str
    message: str
    data: dict[str, Any] = {}


class PlannedTrial(Message):
    label: str
    parameters: dict[str, Any]
    dataset: str
    sample_size: int
    queue: QueueName | None
    routing: str
    predicted_bytes: int | None
    predicted_seconds: float | None
    skipped: Failure | None = None


class PlanView(Message):
    """With dry_run=true, of an experiment or a run: what would be done, nothing is written."""

    trials: list[PlannedTrial]
    batches: int
    queues: dict[QueueName, int] = Field(description="batches per queue")
    waiting_for_datasets: list[str] = Field(default_factory=list, description="not yet prepared, so not estimated")
    remarks: list[str] = Field(default_factory=list, description="what to know before it is started")

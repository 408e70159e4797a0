from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from app.contracts.states import BatchState, Isolation, QueueName, RunState, RunTrigger, TrialState
from app.db.models.base import Base, Json, UtcDateTime, state_column


class Run(Base):
    """One trigger of an experiment, with the specification as it was then. Retention leaves a pinned one alone."""

    __tablename__ = "run"
    __table_args__ = (
        UniqueConstraint("experiment_id", "scheduled_for"),
        Index(None, "experiment_id", "id"),
        Index(None, "state", "id"),
        Index(None, "finished_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    experiment_id: Mapped[UUID] = mapped_column(ForeignKey("experiment.id", ondelete="CASCADE"))
    spec: Mapped[dict[str, Any]] = mapped_column(Json)
    trigger: Mapped[RunTrigger] = mapped_column(state_column(RunTrigger))
    state: Mapped[RunState] = mapped_column(state_column(RunState))
    version: Mapped[int] = mapped_column(default=1)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    scheduled_for: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failure: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    notified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pinned: Mapped[bool] = mapped_column(default=False, server_default=false())
    urgent: Mapped[bool] = mapped_column(default=False, server_default=false())
    artifacts_deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Batch(Base):
    """A comparison block: trials measured together. `attempt` fences out flow runs that came before.

    `memory_limit_bytes` of one sample is set where an isolated batch is planned with another than the queue's.
    """

    __tablename__ = "batch"
    __table_args__ = (
        Index(None, "run_id", "position"),
        Index(None, "state", "lease_until"),
        Index(None, "state", "isolation", "queue"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    position: Mapped[int]
    queue: Mapped[QueueName] = mapped_column(state_column(QueueName))
    isolation: Mapped[Isolation] = mapped_column(
        state_column(Isolation), default=Isolation.PROCESS, server_default=Isolation.PROCESS.value
    )
    memory_limit_bytes: Mapped[int | None]
    state: Mapped[BatchState] = mapped_column(state_column(BatchState))
    attempt: Mapped[int] = mapped_column(default=1)
    version: Mapped[int] = mapped_column(default=1)
    estimated_seconds: Mapped[float]
    order_seed: Mapped[int]
    flow_run_id: Mapped[str | None] = mapped_column(String(64))
    submitted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    worker: Mapped[str | None] = mapped_column(String(255))
    token_sha256: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    progress: Mapped[dict[str, Any] | None] = mapped_column(Json)
    environment: Mapped[dict[str, Any] | None] = mapped_column(Json)


class Trial(Base):
    """One algorithm with one parameter set on one dataset version and size. Derived from the manifest when it ends.

    `reused_run_id`: the run that has the manifest and labels of a reused result; it stays while this row does.
    """

    __tablename__ = "trial"
    __table_args__ = (
        Index(None, "run_id", "position"),
        Index(None, "batch_id"),
        Index(None, "reuse_key", "state"),
        Index(None, "reused_run_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("batch.id", ondelete="CASCADE"))
    position: Mapped[int]
    label: Mapped[str] = mapped_column(String(63))
    algorithm: Mapped[str] = mapped_column(String(63))
    algorithm_version: Mapped[str] = mapped_column(String(63))
    parameters: Mapped[dict[str, Any]] = mapped_column(Json)
    problem: Mapped[dict[str, Any]] = mapped_column(Json)
    dataset: Mapped[str] = mapped_column(String(63))
    dataset_sha256: Mapped[str] = mapped_column(String(64))
    sample_size: Mapped[int]
    sample_seed: Mapped[int]
    seed: Mapped[int]
    is_reference: Mapped[bool]
    queue: Mapped[QueueName | None] = mapped_column(state_column(QueueName))
    routing: Mapped[str] = mapped_column(Text)
    predicted_bytes: Mapped[int | None]
    predicted_seconds: Mapped[float | None]
    state: Mapped[TrialState] = mapped_column(state_column(TrialState))
    version: Mapped[int] = mapped_column(default=1)
    reuse_key: Mapped[str | None] = mapped_column(String(64))
    reused_from: Mapped[UUID | None]
    reused_run_id: Mapped[UUID | None]
    measured_batch_id: Mapped[UUID | None]
    manifest_key: Mapped[str | None] = mapped_column(String(512))
    manifest: Mapped[dict[str, Any] | None] = mapped_column(Json, deferred=True)
    samples: Mapped[list[Any] | None] = mapped_column(Json, deferred=True)
    fit_seconds_median: Mapped[float | None]
    memory: Mapped[dict[str, Any] | None] = mapped_column(Json)
    quality: Mapped[dict[str, Any] | None] = mapped_column(Json)
    failure: Mapped[dict[str, Any] | None] = mapped_column(Json)
    mlflow_run_id: Mapped[str | None] = mapped_column(String(64))


class Event(Base):
    """What happened to a run, append-only, in words for people."""

    __tablename__ = "event"
    __table_args__ = (Index(None, "run_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(String(63))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(Json)

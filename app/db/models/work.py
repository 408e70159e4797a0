from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base, UtcDateTime, state_column


class WorkKind(StrEnum):
    EXPERIMENT = "experiment"  # Prefect deployments and schedule as specified
    RUN = "run"  # expand it, or roll it up
    BATCH = "batch"  # a flow run exists, or none does
    DATASET = "dataset"  # a preparation flow run exists
    TRIAL = "trial"  # mirrored in MLflow
    FORGET = "forget"  # Prefect deployments of a deleted experiment
    RUN_OBJECTS = "run_objects"  # of a run that is deleted, or whose artifacts are
    DATASET_OBJECTS = "dataset_objects"  # of a version that no dataset has any more
    UPLOAD = "upload"  # bytes that no dataset is made of


class Work(Base):
    """An entity to bring into its wanted state; level-triggered, so two wishes are one row (ADR 0001).

    `generation` grows with each wish: whoever finishes an older generation leaves the row in place.
    """

    __tablename__ = "work"
    __table_args__ = (Index(None, "due_at"),)

    kind: Mapped[WorkKind] = mapped_column(state_column(WorkKind), primary_key=True)
    entity_id: Mapped[UUID] = mapped_column(primary_key=True)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    generation: Mapped[int] = mapped_column(default=1)
    attempts: Mapped[int] = mapped_column(default=0)
    leased_by: Mapped[str | None] = mapped_column(String(128))
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str | None] = mapped_column(Text)

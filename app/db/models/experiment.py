from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.contracts.states import Isolation, QueueName
from app.db.models.base import Base, Json, UtcDateTime, state_column


class Experiment(Base):
    """`scheduled_until`: every planned time up to then is accounted for, by a run or by a change of the schedule.

    `scheduled_next` is the first time after it that the schedule wants; none without a schedule or while it is paused.
    """

    __tablename__ = "experiment"
    __table_args__ = (Index(None, "scheduled_next"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    spec: Mapped[dict[str, Any]] = mapped_column(Json)
    spec_sha256: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    scheduled_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    scheduled_next: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Deployment(Base):
    """The Prefect deployment of an experiment on a queue, as last seen; Prefect may have forgotten it.

    Isolated trials have one for all queues, which stands under `default`.
    """

    __tablename__ = "deployment"

    experiment_id: Mapped[UUID] = mapped_column(ForeignKey("experiment.id", ondelete="CASCADE"), primary_key=True)
    queue: Mapped[QueueName] = mapped_column(state_column(QueueName), primary_key=True)
    isolation: Mapped[Isolation] = mapped_column(
        state_column(Isolation), primary_key=True, default=Isolation.PROCESS, server_default=Isolation.PROCESS.value
    )
    prefect_id: Mapped[str] = mapped_column(String(64))

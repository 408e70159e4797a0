from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.contracts.states import DatasetState
from app.db.models.base import Base, Json, UtcDateTime, state_column


class Upload(Base):
    """Bytes a client sent; a dataset may be made of them."""

    __tablename__ = "upload"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Dataset(Base):
    """A named table of points. `prepared` is the immutable version, once a worker has made it."""

    __tablename__ = "dataset"
    __table_args__ = (Index(None, "state", "lease_until"), Index(None, "sha256"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    spec: Mapped[dict[str, Any]] = mapped_column(Json)
    upload_sha256: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[DatasetState] = mapped_column(state_column(DatasetState))
    attempt: Mapped[int] = mapped_column(default=1)
    version: Mapped[int] = mapped_column(default=1)
    sha256: Mapped[str | None] = mapped_column(String(64))
    prepared: Mapped[dict[str, Any] | None] = mapped_column(Json)
    failure: Mapped[dict[str, Any] | None] = mapped_column(Json)
    flow_run_id: Mapped[str | None] = mapped_column(String(64))
    submitted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    worker: Mapped[str | None] = mapped_column(String(255))
    token_sha256: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base, UtcDateTime


class Listening(Base):
    """One row: an API could write heartbeats at `last_at`, and without a gap that matters since `since` (ADR 0014)."""

    __tablename__ = "listening"

    id: Mapped[int] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)

"""Time and ids of the control plane. The domain takes both as arguments."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> UUID:
    """UUIDv7: rises with time, so that a list ordered by id is ordered by creation."""
    return uuid7()


def first_id(moment: datetime) -> UUID:
    """No id that is given from `moment` on is below it."""
    return UUID(int=int(moment.timestamp() * 1_000) << 80)

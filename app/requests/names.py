"""Path parameters that are an id or a name."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from app.contracts.base import ResourceName

_NAME: Final[TypeAdapter[str]] = TypeAdapter(ResourceName)
_UUID_LENGTH = 36


def id_or_name(key: str) -> UUID | str | None:
    """None: it is neither, so nothing can be called so."""
    try:
        name = _NAME.validate_python(key)
    except ValidationError:
        return None
    try:
        return UUID(name) if len(name) == _UUID_LENGTH else name
    except ValueError:
        return name

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.contracts.base import Message, Moment, ResourceName


class Scope(StrEnum):
    READ = "read"
    WRITE = "write"
    WORKER = "worker"  # the internal API


class KeySpec(Message):
    name: ResourceName
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)] = [Scope.READ, Scope.WRITE]
    expires_at: Moment | None = None


class KeyView(Message):
    id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: Moment
    expires_at: Moment | None = None
    revoked_at: Moment | None = None


class CreatedKey(KeyView):
    """The only answer that ever holds the key itself."""

    key: str = Field(repr=False)

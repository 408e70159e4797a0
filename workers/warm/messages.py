"""What the worker and its spare interpreter say to each other: one JSON document per packet."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from app.contracts.base import Message


class Order(Message):
    """Worker to spare: run this flow run in a process of its own."""

    flow_run_id: UUID
    entrypoint: str = Field(description="module path of the flow")
    environment: dict[str, str | None] = Field(description="where it differs from the spare's; None: not set")


class Ready(Message):
    kind: Literal["ready"] = "ready"
    threads: int = Field(description="of the spare itself; above 1 a fork is not safe")


class Started(Message):
    kind: Literal["started"] = "started"
    flow_run_id: UUID
    pid: int


class Ended(Message):
    kind: Literal["ended"] = "ended"
    pid: int
    returncode: int = Field(description="as subprocess has it: negative by a signal")


class SpareMessage(Message):
    said: Ready | Started | Ended = Field(discriminator="kind")

"""What a submitter leaves in the object store for the driver."""

from __future__ import annotations

from pydantic import Field

from app.contracts.assignment import BatchAssignment
from app.contracts.base import Bytes, Message, Seconds

GAVE_BACK = 75
"""Exit status of a driver that was asked to stop before it had finished (EX_TEMPFAIL of sysexits.h)."""


class Order(Message):
    """One attempt at a batch, and the executors that were asked for. A fit on fewer of them would be another one."""

    assignment: BatchAssignment = Field(description="without its token: a driver never speaks to the control plane")
    executors: int = Field(ge=1)
    executor_cores: int = Field(ge=1)
    executor_bytes: Bytes = Field(description="that the container of one executor may hold")
    start_seconds: Seconds = Field(description="for executors to register")
    grace_seconds: Seconds = Field(description="from the driver's SIGTERM to SIGKILL")

    @property
    def threads(self) -> int:
        return self.executors * self.executor_cores

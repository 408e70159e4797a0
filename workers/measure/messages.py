"""What the measuring parent, the nursery and the children say to each other: one JSON document per packet."""

from __future__ import annotations

import socket
from typing import Any, Literal, TypeVar

from pydantic import Field

from app.contracts.base import Message, Seconds
from app.contracts.failures import Failure
from app.contracts.measurement import Evidence, Fingerprint, MemoryFigure, Phases, Quality

MAX_PACKET = 192 * 1024
"""Bytes of one packet: below Linux's default socket buffer (208 KiB), so that a send never blocks half way."""

STATUS_FILE = "status.json"
LOG_FILE = "child.log"
LABELS_FILE = "labels.parquet"


class ForkRequest(Message):
    """Parent to nursery, with one end of the child's channel attached."""

    kind: Literal["child"] = "child"
    algorithm: str
    import_path: str | None = Field(default=None, description="module:Class; the registry's adapter by default")
    threads: int = Field(ge=1)
    memory_limit_bytes: int
    folder: str = Field(description="of this child alone: log, status, labels, the adapter's scratch")
    requested_at: float = Field(description="CLOCK_MONOTONIC of the parent, for the phase `start`")


class NestRequest(Message):
    """To a nursery, with one end of a control channel attached: fork a nursery that serves that channel until it is
    closed. Nothing is said of it on the channel that asked."""

    kind: Literal["nest"] = "nest"


class NurseryRequest(Message):
    asked: ForkRequest | NestRequest = Field(discriminator="kind")


class NurseryReady(Message):
    kind: Literal["ready"] = "ready"
    pid: int
    threads: int = Field(description="of the nursery itself; above 1 a fork is not safe")


class Forked(Message):
    kind: Literal["forked"] = "forked"
    pid: int


class Exited(Message):
    """A child was reaped. `status` is what waitpid tells; times and memory are its rusage."""

    kind: Literal["exited"] = "exited"
    pid: int
    status: int
    user_seconds: float
    system_seconds: float
    max_rss_bytes: int


class NurseryMessage(Message):
    said: NurseryReady | Forked | Exited = Field(discriminator="kind")


class FitRequest(Message):
    """Parent to child: measure one sample."""

    parameters: dict[str, Any]
    seed: int
    points: str
    truth: str | None
    n: int
    d: int
    warm_up: int
    memory_pass: bool = Field(description="round 0: memory, labels, quality; else time alone")
    own_pod: bool = Field(default=False, description="nobody else is in our control group: its peak is the trial's")


class Go(Message):
    """Parent to child: the level of memory before the fit is noted, go on."""


class FitReply(Message):
    """One sample as its child saw it. With a failure, the phases that were reached."""

    phases: Phases = Phases()
    fit_cpu_seconds: Seconds | None = None
    memory: MemoryFigure | None = None
    evidence: Evidence = Evidence()
    labels_sha256: str | None = None
    fingerprint: Fingerprint | None = None
    quality: Quality | None = None
    details: dict[str, Any] = {}
    failure: Failure | None = None


class ChildMessage(Message):
    """`measuring` (the child then waits for `Go`) and `fitted` come in the memory pass only."""

    kind: Literal["ready", "measuring", "fitted", "result"]
    reply: FitReply = FitReply()


Said = TypeVar("Said", bound=Message)


def send(channel: socket.socket, message: Message) -> None:
    """Raises OSError if the other side is gone."""
    channel.send(message.model_dump_json().encode())


def receive(channel: socket.socket, kind: type[Said]) -> Said | None:
    """The next packet; None when the other side is gone. Raises pydantic.ValidationError, BlockingIOError."""
    try:
        packet = channel.recv(MAX_PACKET)
    except ConnectionError:
        return None
    return kind.model_validate_json(packet) if packet else None

"""How the caller of a measurement watches and stops it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from app.contracts.assignment import Progress


class Cancelled(Exception):  # noqa: N818 - an outcome that was asked for, not an error
    """The measurement was cancelled: its child is dead, the rounds saved before remain."""


class Drained(Exception):  # noqa: N818 - an outcome that was asked for, not an error
    """The worker wants to stop: the current sample was finished and is saved with the other ones of its round.

    Its message, if it has one, says who wants it.
    """


class Asked(Protocol):
    """Something that a measurement is asked to do; a threading.Event is one."""

    def is_set(self) -> bool: ...


def _ignore(_: Progress) -> None:
    pass


@dataclass(frozen=True)
class Control:
    """`cancelled` ends the current sample within a second; `draining` lets it finish and then ends the measurement.

    `progress` is called from the measuring thread before each sample and once at the end of each round; it must
    return quickly.
    """

    cancelled: threading.Event = field(default_factory=threading.Event)
    progress: Callable[[Progress], None] = _ignore
    draining: Asked = field(default_factory=threading.Event)

"""The phases of one sample: their times, and a file that tells the parent how far a child came if it dies."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from app.contracts.measurement import Phases

PhaseName = Literal["start", "load", "warm_up", "fit", "score"]
_SIZE = 1024


class Reached(NamedTuple):
    """The phase a child was in, and the seconds of those that it had finished."""

    phase: PhaseName
    phases: Phases


class PhaseClock:
    """Times phases in a child. The file is written before a phase begins, never while one is timed."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.current: PhaseName = "start"
        self._seconds: dict[PhaseName, float] = {}
        self.announce("start")

    @property
    def phases(self) -> Phases:
        return Phases.model_validate(self._seconds)

    def next_sample(self) -> None:
        self._seconds = {}

    def close(self) -> None:
        os.close(self._descriptor)

    def announce(self, phase: PhaseName) -> None:
        self.current = phase
        text = json.dumps({"phase": phase, "phases": self._seconds})
        # One write of fixed size over the old text: a reader sees the old or the new, no process is woken.
        os.pwrite(self._descriptor, text.ljust(_SIZE).encode(), 0)

    def note(self, phase: PhaseName, seconds: float) -> None:
        self._seconds[phase] = max(0.0, seconds)

    @contextmanager
    def timing(self, phase: PhaseName) -> Iterator[None]:
        """A phase that fails has no time."""
        self.announce(phase)
        begun = time.perf_counter()
        yield
        self.note(phase, time.perf_counter() - begun)


def read_reached(file: Path) -> Reached:
    """How far a dead child came; `start` if it left no word."""
    try:
        told = json.loads(file.read_bytes()[:_SIZE])
        phase: PhaseName = told["phase"] if told["phase"] in get_args(PhaseName) else "start"
        return Reached(phase, Phases.model_validate(told["phases"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Reached("start", Phases())

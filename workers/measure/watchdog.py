"""Waits for a child's word and holds its limits meanwhile: wall time, memory of its process tree, cancellation."""

from __future__ import annotations

import select
import threading
import time
from typing import Literal, NamedTuple

from pydantic import ValidationError

from app.contracts.failures import Failure, FailureCode
from workers.measure import text
from workers.measure.control import Cancelled
from workers.measure.memory import TreePeak
from workers.measure.messages import ChildMessage, Exited, FitReply, receive
from workers.measure.nursery import Child, Nursery, NurseryLostError
from workers.measure.processes import Tree

SHORTEST_POLL, LONGEST_POLL = 0.02, 0.4
"""Seconds between two looks. The longest bounds how late a cancellation is seen."""
FASTEST_GROWTH = 8e9
"""Bytes per second that a few threads can touch, about: how soon the memory limit could be reached from here."""
MAX_LOG = 4 * 1024 * 1024


class Breach(NamedTuple):
    """We ended the child, because of this limit."""

    code: Literal[FailureCode.TIMEOUT, FailureCode.MEMOUT]
    limit: float
    measured: float


class Death(NamedTuple):
    """The child ended and it was not us. None: its nursery died, which takes all children with it."""

    exited: Exited | None


class Watch:
    """Over one request to one child. `highest` is the largest memory seen, in bytes, for messages only."""

    def __init__(self, nursery: Nursery, child: Child, memory_limit: int, cancelled: threading.Event) -> None:
        self._nursery = nursery
        self._child = child
        self._memory_limit = memory_limit
        self._cancelled = cancelled
        self._tree = Tree(child.pid)
        self._seconds = 0.0
        self._deadline = 0.0
        self.peak: TreePeak | None = None
        self.highest = 0
        self._used = memory_limit  # unknown yet: look at once

    def allow(self, seconds: float) -> None:
        """Start the clock: the child may take so long from now on."""
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def begin_peak(self) -> None:
        """Note the tree's memory before the fit, and sample its peak from now on."""
        self._tree.refresh_seconds = 0.05
        self.peak = TreePeak(baseline_bytes=self._tree.rss())

    def next_message(self) -> ChildMessage | Breach | Death:
        """The child's next word, or its end. After Breach and Death the child is gone. Raises Cancelled."""
        try:
            while True:
                channel, control = self._child.channel, self._nursery.control
                # Limits are looked at after every wake-up, and a word that is there is read first: it came in time.
                readable = select.select([channel, control], [], [], self._interval())[0]
                if channel in readable:
                    return self._read() or self._end()
                if control in readable and (exited := self._nursery.exit_of(self._child)) is not None:
                    return self._last_word() or Death(exited)
                breach = self._breach()
                if breach is not None:
                    self._nursery.kill(self._child)
                    return breach
                text.bound(self._child.log_file, MAX_LOG)
        except NurseryLostError:
            return self._last_word() or Death(None)

    def _interval(self) -> float:
        """Often while a peak is sampled or a limit is near; else seldom, because every look disturbs what is timed."""
        if self.peak is not None:
            return SHORTEST_POLL
        until_full = (self._memory_limit - self._used) / FASTEST_GROWTH
        until_late = self._deadline - time.monotonic()
        return min(LONGEST_POLL, max(SHORTEST_POLL, min(until_full, until_late)))

    def _read(self) -> ChildMessage | None:
        try:
            return receive(self._child.channel, ChildMessage)
        except ValidationError as error:
            reason = f"the child's reply cannot be read: {error.error_count()} errors"
            reply = FitReply(failure=Failure.of(FailureCode.INTERNAL, reason))
            return ChildMessage(kind="result", reply=reply)

    def _last_word(self) -> ChildMessage | None:
        """A child may have answered and ended between two looks."""
        readable = select.select([self._child.channel], [], [], 0)[0]
        return self._read() if readable else None

    def _end(self) -> Death:
        exited = self._nursery.exit_of(self._child, timeout=2.0)
        if exited is None:  # it closed its channel, but lives
            self._nursery.kill(self._child)
            exited = self._nursery.exit_of(self._child)
        return Death(exited)

    def _breach(self) -> Breach | None:
        if self._cancelled.is_set():
            self._nursery.kill(self._child)
            raise Cancelled
        now = time.monotonic()
        if now > self._deadline:
            return Breach(FailureCode.TIMEOUT, self._seconds, self._seconds + now - self._deadline)
        used = self._used = self._tree.rss()
        self.highest = max(self.highest, used)
        if self.peak is not None:
            self.peak.add(used, is_single=self._tree.is_single)
        if used > self._memory_limit:
            return Breach(FailureCode.MEMOUT, self._memory_limit, used)
        return None

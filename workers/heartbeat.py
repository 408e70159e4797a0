"""A thread that says "still here" and hears "stop"."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpx
import structlog

from app.contracts.assignment import HeartbeatReply
from workers.control_plane import StaleAttemptError

log = structlog.get_logger()


class Heartbeats:
    """Beats every `seconds` while the context lasts. An API that is away is tolerated: the work goes on.

    `stopped` is set when the control plane cancels or fences this attempt; `fenced` tells which.
    """

    def __init__(self, beat: Callable[[], HeartbeatReply], seconds: float, stopped: threading.Event) -> None:
        self._beat = beat
        self._seconds = seconds
        self._over = threading.Event()
        self._due = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self.stopped = stopped
        self.fenced = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._over.set()
        self._due.set()
        self._thread.join(timeout=self._seconds + 1.0)

    def hasten(self) -> None:
        """Beat now: what it tells has changed. Returns at once."""
        self._due.set()

    def _run(self) -> None:
        while True:
            self._due.wait(self._seconds)
            self._due.clear()
            if self._over.is_set():
                return
            try:
                reply = self._beat()
            except StaleAttemptError:
                reply = HeartbeatReply(fenced=True)
            except (httpx.HTTPError, ValueError) as error:  # nobody answers, or something else does
                log.warning("heartbeat not heard", error=str(error))
                continue
            if reply.cancel or reply.fenced:
                self.fenced = self.fenced or reply.fenced
                self.stopped.set()

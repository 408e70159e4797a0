from __future__ import annotations

from app.contracts.base import Message


class LogsView(Message):
    """Lines of the run's flow runs, oldest first. `available` is false while the log source does not answer."""

    available: bool
    lines: list[str] = []

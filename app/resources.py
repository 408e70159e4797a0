"""What the composition root hands to the API: everything it may touch outside its own process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.contracts.comparison import Comparison
from app.contracts.objects import ObjectStore
from app.db.engine import Database
from app.settings import Settings
from workers.algorithms.adapter import Adapter


class LogSource(Protocol):
    async def run_logs(self, flow_run_ids: list[str], limit: int) -> list[str] | None:
        """The newest `limit` lines of these flow runs, oldest first; None: not available now."""
        ...


@dataclass(frozen=True)
class Resources:
    settings: Settings
    database: Database
    objects: ObjectStore
    catalogue: Mapping[str, Adapter[Any]]
    logs: LogSource
    render_report: Callable[[Comparison], str]

"""How a run that goes on is shown: its trials by state, and a bar per batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.cli.output import clean
from app.contracts.states import BatchState
from app.contracts.views import BatchView, RunView

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_BATCHES_SHOWN = 12


@dataclass(frozen=True)
class Snapshot:
    """A run and its batches at one moment."""

    run: RunView
    batches: list[BatchView]

    @property
    def title(self) -> str:
        counts = ", ".join(f"{number} {state}" for state, number in self.run.trials.items() if number)
        asked = " (cancel requested)" if self.run.cancel_requested else ""
        return f"run/{self.run.id} {self.run.state}{asked}" + (f": trials {counts}" if counts else "")


def plain_lines(snapshot: Snapshot) -> list[str]:
    """Lines that differ only when something changed, for logs and pipes."""
    batches = sorted(snapshot.batches, key=lambda batch: batch.position)
    return [snapshot.title, *(_batch_line(batch) for batch in batches if batch.state is not BatchState.WAITING)]


def _batch_line(batch: BatchView) -> str:
    where = f" on {batch.worker}" if batch.worker else ""
    attempt = f", attempt {batch.attempt}" if batch.attempt > 1 else ""
    return f"  batch {batch.position} ({batch.queue}) {batch.state}{where}{attempt}"


class _LiveView:
    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, snapshot: Snapshot) -> None:
        self._live.update(render(snapshot, datetime.now(UTC)), refresh=True)


def render(snapshot: Snapshot, now: datetime) -> RenderableType:
    """What the terminal shows: title with elapsed time, then the batches that move."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    elapsed = int(((snapshot.run.finished_at or now) - snapshot.run.created_at).total_seconds())
    grid = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    moving = [b for b in snapshot.batches if b.state in {BatchState.RUNNING, BatchState.SUBMITTED}]
    for batch in sorted(moving, key=lambda b: b.position)[:_BATCHES_SHOWN]:
        progress = batch.progress
        done, total = (progress.samples_done, progress.samples_total) if progress else (0, 0)
        bar = ProgressBar(total=max(1, total), completed=done, width=30)
        grid.add_row(Text(clean(_batch_line(batch))), bar, Text(f"{done}/{total} samples" if total else "starting"))
    waiting = sum(b.state is BatchState.WAITING for b in snapshot.batches)
    rest = waiting + max(0, len(moving) - _BATCHES_SHOWN)
    parts: list[RenderableType] = [Text(f"{clean(snapshot.title)}   {elapsed // 60}:{elapsed % 60:02d}", style="bold")]
    if moving:
        parts.append(grid)
    if rest:
        parts.append(Text(f"  and {rest} more batches", style="dim"))
    return Group(*parts)


@contextmanager
def live_view() -> Iterator[_LiveView]:
    """Redraws in place on stderr, so that stdout holds the data alone."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")))
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield _LiveView(live)

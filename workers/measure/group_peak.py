"""Peak memory of a pod that one trial has for itself, from its control group: exact, whatever processes took part."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from app.contracts.measurement import MemoryFigure
from workers.measure import cgroup

GroupMethod = Literal["cgroup-peak-v2", "cgroup-peak-v1"]


class _Files(NamedTuple):
    """`hits` counts how often the limit was reached: then pages of files were dropped to make room."""

    method: GroupMethod
    peak: str
    usage: str
    hits: str


_VERSION_2 = _Files("cgroup-peak-v2", "memory.peak", "memory.current", "memory.events")
_VERSION_1 = _Files("cgroup-peak-v1", "memory.max_usage_in_bytes", "memory.usage_in_bytes", "memory.failcnt")


class GroupPeak:
    """Created before a fit, asked after it. A container may not reset the mark, so that it says nothing of the fit
    unless it rose meanwhile; and where the limit was reached, the level before cannot be subtracted from it."""

    def __init__(self, proc: Path = cgroup.PROC) -> None:
        folders = cgroup.folders("memory", proc)
        self._folder = folders[0] if folders else None
        self._files = next((files for files in (_VERSION_2, _VERSION_1) if self._number(files.peak) is not None), None)
        self._before = self._read()

    def figure(self) -> MemoryFigure | None:
        """Bytes of everything in the pod; None where the mark does not tell."""
        before, after = self._before, self._read()
        if self._files is None or before is None or after is None:
            return None
        if after.peak <= before.peak or after.hits != before.hits:
            return None
        return MemoryFigure(peak_bytes=after.peak, baseline_bytes=before.usage, method=self._files.method)

    def _read(self) -> _Reading | None:
        if self._files is None or self._folder is None:
            return None
        peak, usage = self._number(self._files.peak), self._number(self._files.usage)
        if peak is None or usage is None:
            return None
        hits = cgroup.counters(self._folder / self._files.hits).get("max") or self._number(self._files.hits) or 0
        return _Reading(peak, usage, hits)

    def _number(self, name: str) -> int | None:
        if self._folder is None:
            return None
        try:
            text = (self._folder / name).read_text().strip()
        except OSError:
            return None
        return int(text) if text.isdigit() else None


class _Reading(NamedTuple):
    peak: int
    usage: int
    hits: int

"""Peak memory of one fit. The method is named with every figure; a guess is never given."""

from __future__ import annotations

import ctypes
import gc
import re
from contextlib import suppress
from dataclasses import dataclass

from app.contracts.measurement import MemoryFigure

UNSUPPORTED = MemoryFigure(peak_bytes=0, baseline_bytes=0, method="unsupported")
_KILOBYTES = re.compile(rb"^(VmHWM|VmRSS):\s+(\d+) kB", re.MULTILINE)


def _status() -> dict[bytes, int]:
    try:
        with open("/proc/self/status", "rb") as file:
            return {name: int(value) * 1024 for name, value in _KILOBYTES.findall(file.read())}
    except OSError:
        return {}


def _reset_peak() -> bool:
    """proc(5): writing 5 to clear_refs sets VmHWM to the present resident set size."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def _give_back_free_memory() -> None:
    """Else memory freed while loading would be used again by the fit and be missing in its figure."""
    gc.collect()
    with suppress(OSError, AttributeError):  # only glibc has malloc_trim
        ctypes.CDLL(None).malloc_trim(0)


class PeakMeter:
    """High-water mark of this process above its level at creation (VmHWM, bytes, resolution of a page)."""

    def __init__(self) -> None:
        _give_back_free_memory()
        resettable = _reset_peak()
        self._baseline = _status().get(b"VmRSS") if resettable else None

    def figure(self) -> MemoryFigure:
        peak = _status().get(b"VmHWM")
        if self._baseline is None or peak is None:
            return UNSUPPORTED
        return MemoryFigure(peak_bytes=peak, baseline_bytes=min(self._baseline, peak), method="vmhwm")


@dataclass
class TreePeak:
    """Highest sampled sum over a process tree, in bytes. Peaks shorter than the sampling interval are missed."""

    baseline_bytes: int
    peak_bytes: int = 0
    saw_descendants: bool = False

    def add(self, rss: int, *, is_single: bool) -> None:
        self.peak_bytes = max(self.peak_bytes, rss)
        self.saw_descendants |= not is_single

    def figure(self) -> MemoryFigure:
        if self.peak_bytes == 0 or self.baseline_bytes == 0:
            return UNSUPPORTED
        peak = max(self.peak_bytes, self.baseline_bytes)
        return MemoryFigure(peak_bytes=peak, baseline_bytes=self.baseline_bytes, method="tree-rss-sampled")


def best_figure(own: MemoryFigure | None, tree: TreePeak | None) -> MemoryFigure:
    """VmHWM is exact but knows one process only: where others took part, the sampled tree counts.

    A control group is exact and knows all of them.
    """
    if own is not None and own.is_of_the_pod:
        return own
    if own is not None and own.method == "vmhwm" and (tree is None or not tree.saw_descendants):
        return own
    return tree.figure() if tree is not None else UNSUPPORTED

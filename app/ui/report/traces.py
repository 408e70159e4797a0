"""Building blocks of the plots: an implementation's look, and traces of plotly.js in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Any

from app.contracts.comparison import Entry
from app.contracts.quantities import significant

Figure = dict[str, Any]
MIB = 2**20

# Okabe and Ito's palette without black and yellow: told apart by colour-blind readers, visible on white and on black.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")


class Styles:
    """An implementation's colour and symbol, the same in every plot."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    def colour(self, label: str) -> str:
        return PALETTE[self.names.index(label) % len(PALETTE)]

    def symbol(self, label: str) -> str:
        return SYMBOLS[self.names.index(label) // len(PALETTE) % len(SYMBOLS)]


def line(label: str, style: Styles, x: list[Any], y: list[Any], text: list[str], *, name: str = "") -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escape(name or label),
        "x": x,
        "y": y,
        "text": text,
        "hovertemplate": "%{text}<extra>" + escape(name or label) + "</extra>",
        "line": {"color": style.colour(label), "width": 2},
        "marker": {"color": style.colour(label), "size": 7, "symbol": style.symbol(label)},
    }


def markers(
    label: str, style: Styles, x: list[float], y: list[float], text: list[str], *, name: str = "", **look: Any
) -> dict[str, Any]:
    """One implementation's points; `look` goes into the marker."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(name or label),
        "x": x,
        "y": y,
        "text": text,
        "hovertemplate": "%{text}<extra>" + escape(name or label) + "</extra>",
        "marker": {"color": style.colour(label), "size": 10, "symbol": style.symbol(label), **look},
    }


def time_and_memory(entry: Entry) -> tuple[float, float] | None:
    """Median fit seconds and extra MiB; None unless both were measured."""
    if entry.timing is None or entry.memory is None or entry.memory.method == "unsupported":
        return None
    return entry.timing.median, entry.memory.extra_bytes / MIB


_STEPS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0), tuple(i / 10 for i in range(10, 100, 2)))
_FEWEST_TICKS = 3
_MOST_TICKS = 7


def log_axis(values: Sequence[float], write: Callable[[float], str]) -> dict[str, Any]:
    """A logarithmic axis with a few round ticks in words; linear from zero if a value is not positive."""
    if not values or min(values) <= 0:
        return {"rangemode": "tozero"}
    low, high = min(values) / 1.15, max(values) * 1.15
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    ticks: list[float] = []
    for steps in _STEPS:
        ticks = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(ticks) >= _FEWEST_TICKS:
            break
    ticks = ticks[:: ceil(len(ticks) / _MOST_TICKS) or 1]
    return {
        "type": "log",
        "tickangle": 0,
        "range": [log10(low), log10(high)],
        "tickvals": ticks,
        "ticktext": [write(tick) for tick in ticks],
    }


def spread_axis(values: Sequence[float], write: Callable[[float], str]) -> dict[str, Any]:
    """Logarithmic if the values differ so much that the small ones would be one dot, else linear from zero."""
    if values and min(values) > 0 and max(values) / min(values) > 4:
        return log_axis(values, write)
    return {"rangemode": "tozero"}


def tick_seconds(seconds: float) -> str:
    """A round number of seconds for an axis, e.g. `20 ms`."""
    scale, unit = (1.0, "s") if seconds >= 1 else (1e-3, "ms") if seconds >= 1e-3 else (1e-6, "µs")
    return f"{significant(seconds / scale)} {unit}"

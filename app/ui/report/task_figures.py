"""Plots of one task: every sample, time by round, time against memory."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from app.contracts.comparison import Entry, Group
from app.contracts.quantities import duration, significant, size
from app.ui.report.headline import is_certified
from app.ui.report.rows import display_names, quartiles
from app.ui.report.traces import MIB, Figure, Styles, line, markers, spread_axis, tick_seconds, time_and_memory

PLOTTED_TRIALS = 40


def _timed(group: Group) -> list[Entry]:
    """Trials with samples; of very many, the reference and the fastest."""
    timed = [entry for entry in group.entries if entry.timing]
    if len(timed) <= PLOTTED_TRIALS:
        return timed
    first = sorted(timed, key=lambda e: (not e.is_reference, e.timing.median if e.timing else 0.0))[:PLOTTED_TRIALS]
    kept = {entry.trial_id for entry in first}
    return [entry for entry in timed if entry.trial_id in kept]


def strip(group: Group, style: Styles) -> Figure:
    shown = _timed(group)
    called = display_names(group)
    traces: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    for place, entry in enumerate(reversed(shown)):
        timing = entry.timing
        if timing is None:
            continue
        colour = style.colour(entry.label)
        if (band := quartiles(timing)) is not None:
            shapes.append(
                _box(band[0], band[1], place, 0.32, {"fillcolor": colour, "opacity": 0.18, "line": {"width": 0}})
            )
        shapes.append(_box(timing.median, timing.median, place, 0.32, {"line": {"color": colour, "width": 3}}))
        text = [f"sample {i}: {duration(s)}" for i, s in enumerate(timing.samples, start=1)]
        heights = [place + _jitter(i) for i in range(len(timing.samples))]
        dots = markers(entry.label, style, timing.samples, heights, text, name=called[entry.trial_id], size=8)
        traces.append({**dots, "showlegend": False})
    names = [escape(called[entry.trial_id]) for entry in reversed(shown)]
    return {
        "data": traces,
        "layout": {
            "shapes": shapes,
            "height": max(340, 120 + 56 * len(shown)),
            "xaxis": _time_axis(shown),
            "yaxis": {"tickvals": list(range(len(names))), "ticktext": names, "range": [-0.6, len(names) - 0.4]},
        },
    }


def _box(low: float, high: float, place: float, half: float, look: dict[str, Any]) -> dict[str, Any]:
    return {"type": "rect", "x0": low, "x1": high, "y0": place - half, "y1": place + half, "layer": "below", **look}


def _jitter(index: int) -> float:
    """Spreads dots that would cover each other; the golden ratio keeps neighbours apart, and every page alike."""
    return ((index * 0.618034) % 1.0 - 0.5) * 0.4


def _time_axis(entries: Iterable[Entry], what: str = "fit time") -> dict[str, Any]:
    return _seconds([sample for entry in entries if entry.timing for sample in entry.timing.samples], what)


def _seconds(values: list[float], what: str) -> dict[str, Any]:
    axis = spread_axis(values, tick_seconds)
    unit = "" if "ticktext" in axis else " (seconds)"
    return {"title": {"text": what + unit}, **axis}


def drift(group: Group, style: Styles) -> Figure:
    shown = _timed(group)
    called = display_names(group)
    traces = [
        line(
            entry.label, style, list(range(1, len(entry.timing.samples) + 1)), entry.timing.samples,
            text=[duration(s) for s in entry.timing.samples], name=called[entry.trial_id],
        )
        for entry in shown
        if entry.timing
    ]  # fmt: skip
    longest = max((len(entry.timing.samples) for entry in shown if entry.timing), default=1)
    return {
        "data": traces,
        "layout": {
            "xaxis": {
                "title": {"text": "timed sample, in the order of measuring"},
                "range": [0.7, longest + 0.3],
                "tickformat": "d",
                **({"dtick": 1} if longest <= 20 else {}),
            },
            "yaxis": _time_axis(shown),
        },
    }


def has_memory(group: Group) -> bool:
    return sum(1 for entry in group.entries if time_and_memory(entry)) >= 2


def pareto(group: Group, style: Styles) -> Figure:
    found = [(entry, at) for entry in group.entries if (at := time_and_memory(entry)) is not None]
    called = display_names(group)
    front = sorted(at for entry, at in found if entry.on_pareto_front)
    traces: list[dict[str, Any]] = []
    if len(front) > 1:
        traces.append(
            {
                "type": "scatter", "mode": "lines", "x": [x for x, _ in front], "y": [y for _, y in front],
                "line": {"dash": "dot", "width": 1.5, "shape": "hv", "color": "#888"}, "hoverinfo": "skip",
                "showlegend": False,
            }
        )  # fmt: skip
    for entry, (seconds, mebibytes) in found:
        hollow = "" if is_certified(entry) else "-open"
        text = [f"{duration(seconds)}, {size(round(mebibytes * MIB))}"]
        symbol = style.symbol(entry.label) + hollow
        name = called[entry.trial_id]
        traces.append(markers(entry.label, style, [seconds], [mebibytes], text, name=name, size=13, symbol=symbol))
    return {
        "data": traces,
        "layout": {
            "xaxis": _seconds([x for _, (x, _) in found], "median fit time"),
            "yaxis": {"title": {"text": "extra memory (MiB)"}, **spread_axis([y for _, (_, y) in found], significant)},
        },
    }

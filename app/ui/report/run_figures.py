"""Plots over all tasks: growth with the number of points, performance profile, predicted and measured memory."""

from __future__ import annotations

from html import escape
from math import inf
from typing import Any

from app.contracts.comparison import Comparison, Growth
from app.contracts.quantities import duration, significant, size
from app.ui.report.headline import is_certified
from app.ui.report.rows import group_title
from app.ui.report.traces import MIB, Figure, Styles, line, log_axis, markers, tick_seconds

PLOTTED_TRIALS = 20_000


def growth(lines: list[Growth], style: Styles) -> Figure:
    """Median fit time over sample size, an implementation a line, its exponent in the legend."""
    traces = []
    for one in lines:
        text = [f"{n:,} points: {duration(median)}" for n, median in zip(one.sizes, one.medians, strict=True)]
        name = f"{one.label}  (n^{one.exponent:.2f})"
        traces.append(line(one.label, style, one.sizes, one.medians, text, name=name))
    return {
        "data": traces,
        "layout": {
            "xaxis": {
                "title": {"text": "points"},
                **log_axis([n for one in lines for n in one.sizes], lambda n: f"{n:,.0f}"),
            },
            "yaxis": {
                "title": {"text": "median fit time"},
                **log_axis([m for one in lines for m in one.medians], tick_seconds),
            },
        },
    }


def profile(comparison: Comparison, style: Styles) -> Figure | None:
    """Dolan and More's profile over groups: for each factor, the share of groups solved within it."""
    factors: dict[str, list[float]] = {label: [] for label in style.names}
    solved = 0
    for group in comparison.groups:
        ranked: dict[str, float] = {}
        for entry in group.entries:
            if entry.timing and is_certified(entry):
                ranked[entry.label] = min(entry.timing.median, ranked.get(entry.label, inf))
        best = min(ranked.values(), default=0.0)
        if best <= 0:
            continue
        solved += 1
        for label, median in ranked.items():
            factors[label].append(median / best)
    if len(comparison.groups) < 2 or not solved:
        return None
    widest = max(max(f) for f in factors.values() if f) * 1.15
    traces = []
    for label, found in factors.items():
        steps = sorted(found)
        shares = [(i + 1) / len(comparison.groups) for i in range(len(steps))]
        x, y = [1.0, *steps, widest], [0.0, *shares, shares[-1] if shares else 0.0]
        text = [f"within {significant(a)} of the best: {b:.0%} of tasks" for a, b in zip(x, y, strict=True)]
        trace = line(label, style, x, y, text)
        trace["mode"] = "lines"
        trace["line"] = {**trace["line"], "shape": "hv"}
        traces.append(trace)
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": "time / best time of the task"}, **log_axis([1.0, widest], significant)},
            "yaxis": {"title": {"text": "share of tasks"}, "range": [-0.02, 1.05], "tickformat": ".0%"},
        },
    }


def memory_prediction(comparison: Comparison, style: Styles) -> Figure | None:
    found: dict[str, list[tuple[float, float, str]]] = {}
    total = 0
    for group in comparison.groups:
        for entry in group.entries:
            memory = entry.memory
            if memory is None or memory.method == "unsupported" or not entry.predicted_bytes or not memory.peak_bytes:
                continue
            if memory.is_of_the_pod:
                continue
            total += 1
            if total <= PLOTTED_TRIALS:
                where = (
                    f"{group_title(group)}: predicted {size(entry.predicted_bytes)}, measured {size(memory.peak_bytes)}"
                )
                point = (entry.predicted_bytes / MIB, memory.peak_bytes / MIB, escape(where))
                found.setdefault(entry.label, []).append(point)
    if not found:
        return None
    values = [value for points in found.values() for x, y, _ in points for value in (x, y)]
    ends = [min(values) * 0.8, max(values) * 1.25]
    quiet = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False}
    bounds = [end * 1.3 for end in ends] + [end / 1.3 for end in reversed(ends)]
    traces: list[dict[str, Any]] = [
        {
            **quiet,
            "x": ends + ends[::-1],
            "y": bounds,
            "fill": "toself",
            "fillcolor": "rgba(128,128,128,.15)",
            "line": {"width": 0},
        },
        {**quiet, "x": ends, "y": ends, "line": {"color": "#888", "width": 1.5, "dash": "dot"}},
    ]
    for label, points in found.items():
        x, y, text = (list(column) for column in zip(*points, strict=True))
        traces.append(markers(label, style, x, y, text))
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": "predicted peak (MiB)"}, **log_axis(values, significant)},
            "yaxis": {"title": {"text": "measured peak (MiB)"}, **log_axis(values, significant)},
        },
    }

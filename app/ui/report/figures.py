"""The report's plots as plotly.js figures: plain dictionaries that the page draws in its own colours.

Texts are escaped because plotly.js reads some HTML in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.contracts.comparison import Comparison, Group, Growth
from app.ui.report.rows import group_title, labels
from app.ui.report.run_figures import growth, memory_prediction, profile
from app.ui.report.task_figures import drift, has_memory, pareto, strip
from app.ui.report.traces import Figure, Styles

PLOTTED_GROUPS = 60
PLOTTED_SAMPLES = 50_000


@dataclass(frozen=True)
class Plot:
    """One place on the page; with several figures, a picker chooses by `choices`."""

    id: str
    title: str
    caption: str
    choices: list[str]
    figures: list[Figure]


def plots(comparison: Comparison) -> list[Plot]:
    """Those plots that the comparison has data for."""
    style = Styles(labels(comparison))
    groups = plotted(comparison)
    names = [_choice(group) for group in groups]
    fronts = [(name, pareto(group, style)) for name, group in zip(names, groups, strict=True) if has_memory(group)]
    growths = [(f"{g[0].dataset}, {_problem(g[0].problem)}", growth(g, style)) for g in _growth_sets(comparison)]
    candidates = [
        Plot("samples", "Every sample", "Each dot is one timed fit; the bar is the median, the band the middle half.",
             names, [strip(group, style) for group in groups]),
        Plot("drift", "Time by round", "A slope or a step that all share is the machine's, not an implementation's.",
             names, [drift(group, style) for group in groups]),
        Plot("growth", "Time against sample size", "Both axes logarithmic; the slope is the exponent in the legend.",
             [name for name, _ in growths], [figure for _, figure in growths]),
        Plot("pareto", "Time and memory", "Lower left is better. The line joins certified entries that no other beats "
             "in both; hollow marks are not certified.", [name for name, _ in fronts], [f for _, f in fronts]),
        Plot("profile", "Performance profile", "Share of tasks solved within a factor of the best time of each task. "
             "Failures and uncertified results never count as solved.", *_single(profile(comparison, style))),
        Plot("memory", "Predicted and measured memory", "On the line the prediction is exact; the band is ±30 %.",
             *_single(memory_prediction(comparison, style))),
    ]  # fmt: skip
    return [plot for plot in candidates if plot.figures]


def plotted(comparison: Comparison) -> list[Group]:
    """Groups with timings, as many as a browser draws with ease; the tables have all."""
    chosen: list[Group] = []
    samples = 0
    for group in comparison.groups:
        own = sum(len(entry.timing.samples) for entry in group.entries if entry.timing)
        samples += own
        if len(chosen) == PLOTTED_GROUPS or (chosen and samples > PLOTTED_SAMPLES):
            break
        if own:
            chosen.append(group)
    return chosen


def _single(figure: Figure | None) -> tuple[list[str], list[Figure]]:
    return ([], []) if figure is None else ([""], [figure])


def _choice(group: Group) -> str:
    problem = _problem(group.problem)
    return f"{group_title(group)}; {problem}" if problem else group_title(group)


def _problem(problem: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in problem.items())


def _growth_sets(comparison: Comparison) -> list[list[Growth]]:
    sets: dict[str, list[Growth]] = {}
    for one in comparison.statistics.growth:
        if len(one.sizes) >= 3:
            sets.setdefault(f"{one.dataset} {_problem(one.problem)}", []).append(one)
    return list(sets.values())[:PLOTTED_GROUPS]

"""The rows of the report's tables: texts that are ready to be escaped and shown."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from statistics import quantiles
from uuid import UUID

from app.contracts.comparison import Comparison, Entry, Group, Timing
from app.contracts.measurement import Environment, Quality
from app.contracts.quantities import count, duration, duration_range, factor, share, significant, size, times
from app.contracts.states import Verdict
from app.ui.report.headline import is_certified

MISSING = "\N{EN DASH}"
_SIGNS = {
    Verdict.IDENTICAL: "\N{CHECK MARK}",
    Verdict.BORDER_ONLY: "\N{ALMOST EQUAL TO}",
    Verdict.DIFFERENT: "\N{NOT EQUAL TO}",
}
_LIBRARIES_SHOWN = 8


@dataclass(frozen=True)
class Badge:
    """A verdict or state in one word. `tone`: good, fair, bad or plain."""

    text: str
    tone: str
    reason: str = ""


@dataclass(frozen=True)
class Row:
    entry: Entry
    badge: Badge
    marks: list[Badge]
    parameters: str
    fit: str
    ratio: str
    ranked: bool
    extra_memory: str
    memory_method: str
    predicted: str
    clusters: str
    noise: str
    silhouette: str
    silhouette_reason: str
    truth: str
    points_per_second: str
    cpu: str


@dataclass(frozen=True)
class GroupRows:
    group: Group
    title: str
    problem: str
    rows: list[Row]
    failures: list[Row]


@dataclass(frozen=True)
class Overview:
    """Every label in every task, by its fastest ranked trial; None where there is no such trial."""

    labels: list[str]
    lines: list[tuple[GroupRows, list[Row | None]]]


def group_rows(group: Group) -> GroupRows:
    made = [_row(entry, group) for entry in group.entries]
    return GroupRows(
        group=group,
        title=group_title(group),
        problem=_parameters(group.problem),
        rows=made,
        failures=[row for row in made if row.entry.failure is not None],
    )


def group_title(group: Group) -> str:
    return f"{group.dataset}, {group.sample_size:,} points, {group.d}-d"


def labels(comparison: Comparison) -> list[str]:
    """In order of first appearance: an implementation keeps its colour in every plot."""
    return list(dict.fromkeys(entry.label for group in comparison.groups for entry in group.entries))


def overview(comparison: Comparison) -> Overview | None:
    if len(comparison.groups) < 2:
        return None
    names = labels(comparison)
    lines = []
    for group in comparison.groups:
        made = group_rows(group)
        lines.append((made, [_fastest(made.rows, name) for name in names]))
    return Overview(names, lines)


def _fastest(rows: list[Row], label: str) -> Row | None:
    """A label has several rows where its own parameters make a grid: the fastest ranked one stands for it."""
    own = [row for row in rows if row.entry.label == label]
    return min(own, key=lambda row: (not row.ranked, _median(row.entry)), default=None)


def _median(entry: Entry) -> float:
    return entry.timing.median if entry.timing else inf


def display_names(group: Group) -> dict[UUID, str]:
    """Each trial's label, followed by what tells it from trials of the same label in this task."""
    names = {}
    for entry in group.entries:
        alike = [other.parameters for other in group.entries if other.label == entry.label]
        own = {k: v for k, v in entry.parameters.items() if any(other.get(k) != v for other in alike)}
        names[entry.trial_id] = f"{entry.label} ({_parameters(own)})" if own else entry.label
    return names


def quartiles(timing: Timing) -> tuple[float, float] | None:
    """Bounds of the middle half of the samples (seconds); None with fewer than three."""
    if len(timing.samples) < 3:
        return None
    low, _, high = quantiles(timing.samples, n=4, method="inclusive")
    return low, high


def machine(environment: Environment) -> str:
    """The machine in one line, for under the plots."""
    libraries = [f"{name} {version}" for name, version in sorted(environment.libraries.items())]
    more = [f"and {len(libraries) - _LIBRARIES_SHOWN} more libraries"] if len(libraries) > _LIBRARIES_SHOWN else []
    return "; ".join(
        [
            f"{environment.hostname}: {environment.cpu_model}",
            f"{significant(environment.cpu_quota)} CPUs",
            f"{size(environment.memory_limit_bytes)} memory",
            f"kernel {environment.kernel}",
            f"Python {environment.python}",
            *([f"Java {environment.java}"] if environment.java else []),
            *libraries[:_LIBRARIES_SHOWN],
            *more,
            f"image {environment.image}",
        ]
    )


def _row(entry: Entry, group: Group) -> Row:
    quality, memory = entry.quality, entry.memory
    own = {name: value for name, value in entry.parameters.items() if name not in group.problem}
    return Row(
        entry=entry,
        badge=badge(entry),
        marks=_marks(entry),
        parameters=_parameters(own),
        fit=_fit(entry.timing),
        ratio=_ratio(entry),
        ranked=is_certified(entry),
        extra_memory=MISSING if memory is None or memory.method == "unsupported" else size(memory.extra_bytes),
        memory_method="" if memory is None else memory.method,
        predicted=MISSING if entry.predicted_bytes is None else size(entry.predicted_bytes),
        clusters=MISSING if quality is None else f"{quality.clusters:,}",
        noise=MISSING if quality is None else share(quality.noise_share),
        silhouette=MISSING if quality is None or quality.silhouette is None else significant(quality.silhouette),
        silhouette_reason="" if quality is None else quality.reasons.get("silhouette", ""),
        truth=_truth(quality),
        points_per_second=MISSING if entry.points_per_second is None else count(entry.points_per_second),
        cpu=MISSING if entry.cpu_seconds is None else duration(entry.cpu_seconds),
    )


def badge(entry: Entry) -> Badge:
    if entry.failure is not None:
        tone = "plain" if entry.state.value == "skipped" else "bad"
        return Badge(f"{entry.state.value}: {entry.failure.code.value}", tone, entry.failure.message)
    if entry.is_reference and entry.verdict in {None, Verdict.IDENTICAL}:
        return Badge("reference", "good" if entry.timing else "plain", "The others are compared with this one.")
    if entry.verdict is None:
        return Badge(entry.state.value, "plain", entry.verdict_reason or "There is nothing to compare it with.")
    tone = {Verdict.IDENTICAL: "good", Verdict.BORDER_ONLY: "fair", Verdict.DIFFERENT: "bad"}[entry.verdict]
    return Badge(f"{_SIGNS[entry.verdict]} {entry.verdict.value}", tone, entry.verdict_reason)


def _marks(entry: Entry) -> list[Badge]:
    marks = []
    if entry.reused:
        marks.append(Badge("reused", "plain", "Measured in an earlier run with the same key."))
    if entry.ratio is not None and not entry.ratio.paired and not entry.is_reference:
        marks.append(Badge("unpaired", "fair", "Not measured interleaved with the reference: drift is not excluded."))
    if entry.on_pareto_front:
        marks.append(
            Badge(
                "best trade-off", "plain", "On the Pareto front: no other certified entry is better in time and memory."
            )
        )
    return marks


def _fit(timing: Timing | None) -> str:
    if timing is None:
        return MISSING
    middle_half = quartiles(timing)
    return (
        duration(timing.median)
        if middle_half is None
        else duration_range(middle_half[0], timing.median, middle_half[1])
    )


def _ratio(entry: Entry) -> str:
    if entry.is_reference and entry.timing:
        return times(1.0)
    ratio = entry.ratio
    return MISSING if ratio is None else f"{times(ratio.estimate)} [{factor(ratio.low)}, {factor(ratio.high)}]"


def _truth(quality: Quality | None) -> str:
    agreement = quality.truth if quality else None
    if agreement is None or agreement.noise_as_cluster_ari is None:
        return MISSING
    return significant(agreement.noise_as_cluster_ari)


def _parameters(values: dict[str, object]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())

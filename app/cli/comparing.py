"""`compare`: the answer of a run as a table per task."""

from __future__ import annotations

from statistics import quantiles

from app.cli.client import Client, parse
from app.cli.kinds import parameters
from app.cli.output import Column, Format, Table, data, dump, note, tables
from app.cli.settings import connection
from app.contracts.comparison import Comparison, Entry, Group, Timing
from app.contracts.quantities import count, duration, duration_range, factor, share, significant, size, times
from app.contracts.states import RunState, RunTrigger, Verdict

_TERMINAL = {RunState.SUCCEEDED, RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED}


def compare(reference: str, form: Format, server: str | None) -> None:
    with Client(connection(server)) as client:
        raw = client.get(f"/v1/runs/{client.run_id(reference)}/comparison")
    if form in {Format.JSON, Format.YAML}:
        dump(raw, form)
        return
    comparison = parse(Comparison, raw)
    if form is Format.NAME:
        data("\n".join(f"trial/{entry.trial_id}" for group in comparison.groups for entry in group.entries))
        return
    if comparison.state not in _TERMINAL:
        note(f"The run is {comparison.state}: what is measured so far.")
    if not comparison.groups:
        note("Nothing has been measured yet.")
        return
    data(
        f"{comparison.experiment}: {_what(comparison)} {comparison.run_id} {comparison.state}, "
        f"{comparison.rounds} rounds, reference {comparison.reference}"
    )
    tables([_table(group) for group in comparison.groups], form)
    for line in [*statistics_lines(comparison), *comparison.remarks]:
        note(line)
    note("FIT is median [middle half of the samples]; RATIO is reference time / this time [95 % bootstrap interval].")


def _what(comparison: Comparison) -> str:
    return "preview, not a measurement, run" if comparison.trigger is RunTrigger.PREVIEW else "run"


def _table(group: Group) -> Table:
    problem = parameters(group.problem)
    heading = f"{group.dataset}  {group.sample_size:,} points, {group.d} dimensions  {problem}".rstrip()
    notes = [f"  {entry.label}: {line}" for entry in group.entries for line in _remarks(entry)]
    return Table(_COLUMNS, group.entries, heading=heading, notes=notes)


def interval(timing: Timing) -> str:
    """Median and the middle half of the samples; the median alone when there are fewer than three."""
    if len(timing.samples) < 3:
        return duration(timing.median)
    low, _, high = quantiles(timing.samples, n=4, method="inclusive")
    return duration_range(low, timing.median, high)


def verdict(entry: Entry) -> str:
    if entry.failure is not None:
        return f"{entry.state} ({entry.failure.code})"
    if entry.is_reference and entry.verdict in {None, Verdict.IDENTICAL}:
        return "reference"
    return entry.verdict or entry.state


def marks(entry: Entry) -> str:
    """Why a ratio deserves less trust."""
    found = ["reused"] if entry.reused else []
    if entry.ratio is not None and not entry.ratio.paired:
        found.append("unpaired")
    return ",".join(found)


def _ratio(entry: Entry) -> str | None:
    if entry.ratio is None:
        return None
    if entry.is_reference:
        return times(1.0)
    ratio = entry.ratio
    return f"{times(ratio.estimate)} [{factor(ratio.low)}, {factor(ratio.high)}]"


def _remarks(entry: Entry) -> list[str]:
    lines = []
    if entry.failure is not None:
        lines.append(f"{entry.failure.code}: {entry.failure.message} hint: {entry.failure.hint}")
    elif entry.verdict_reason and entry.verdict is not Verdict.IDENTICAL:
        lines.append(entry.verdict_reason)
    return lines


def statistics_lines(comparison: Comparison) -> list[str]:
    """Growth exponents, tests over tasks, or why there are none."""
    statistics = comparison.statistics
    lines = [
        f"{growth.label} on {growth.dataset}: time grows as n^{growth.exponent:.2f} "
        f"over {min(growth.sizes):,}-{max(growth.sizes):,} points"
        for growth in statistics.growth
    ]
    lines += [
        f"{pair.first} vs {pair.second}: Wilcoxon signed-rank p = {pair.p_holm:.2g} (Holm) over {pair.blocks} tasks"
        for pair in statistics.pairs
    ]
    if statistics.reason:
        lines.append(f"No tests over tasks: {statistics.reason}")
    return lines


def _quality(name: str) -> Column:
    def cell(entry: Entry) -> str | None:
        if entry.quality is None:
            return None
        value = getattr(entry.quality, name)
        return None if value is None else share(value) if name == "noise_share" else significant(value)

    return Column({"noise_share": "NOISE"}.get(name, name.upper()), cell, wide=name == "silhouette", right=True)


_COLUMNS = (
    Column("LABEL", lambda e: e.label),
    Column("VERDICT", verdict),
    Column("FIT", lambda e: e.timing and interval(e.timing)),
    Column("RATIO", _ratio),
    Column("EXTRA MEMORY", lambda e: e.memory and size(e.memory.extra_bytes), right=True),
    Column("CLUSTERS", lambda e: e.quality and f"{e.quality.clusters:,}", right=True),
    _quality("noise_share"),
    Column("POINTS/S", lambda e: e.points_per_second and count(e.points_per_second), right=True),
    Column("MARKS", marks),
    Column("CPU", lambda e: None if e.cpu_seconds is None else duration(e.cpu_seconds), wide=True, right=True),
    Column("SAMPLES", lambda e: e.timing and len(e.timing.samples), wide=True, right=True),
    Column("PEAK", lambda e: e.memory and size(e.memory.peak_bytes), wide=True, right=True),
    Column("PREDICTED", lambda e: None if e.predicted_bytes is None else size(e.predicted_bytes), wide=True),
    Column("METHOD", lambda e: e.memory and e.memory.method, wide=True),
    _quality("silhouette"),
    Column("PARAMETERS", lambda e: parameters(e.parameters), wide=True),
    Column("TRIAL", lambda e: e.trial_id, wide=True),
)

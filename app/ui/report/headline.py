"""The answer in a few sentences: the same result? which is faster, by how much? what failed?"""

from __future__ import annotations

from collections import Counter

from app.contracts.comparison import Comparison, Entry, Group
from app.contracts.quantities import factor, times
from app.contracts.states import RunState, RunTrigger, TrialState, Verdict

CERTIFIED = {Verdict.IDENTICAL, Verdict.BORDER_ONLY}
_SAID = {RunState.PLANNING, RunState.QUEUED, RunState.RUNNING}


def is_certified(entry: Entry) -> bool:
    """Only these are ranked: the reference, and what gave its result."""
    return entry.state is TrialState.SUCCEEDED and (entry.is_reference or entry.verdict in CERTIFIED)


def sentences(comparison: Comparison) -> list[str]:
    """The first is the headline, the rest qualifies it."""
    is_preview = comparison.trigger is RunTrigger.PREVIEW
    said = list(comparison.remarks) if is_preview else []
    if comparison.state in _SAID:
        said.append(f"The run is {comparison.state}: this is what has been measured so far.")
    if not any(group.entries for group in comparison.groups):
        return [*said, "Nothing has been measured."]
    said += _same_result(comparison)
    # Who is fastest on so few rows, measured once, says nothing of the experiment.
    said += [] if is_preview else _faster(comparison)
    said += _failures(comparison)
    return said if is_preview else [*said, *comparison.remarks]


def _same_result(comparison: Comparison) -> list[str]:
    compared = [
        (group, [e for e in group.entries if e.verdict is not None or (e.is_reference and _done(e))])
        for group in comparison.groups
    ]
    total = sum(len(entries) for _, entries in compared if len(entries) > 1)
    if not total:
        return []
    verdicts = Counter(
        Verdict.IDENTICAL if e.is_reference else e.verdict
        for _, entries in compared
        if len(entries) > 1
        for e in entries
    )
    what = "implementations" if len(comparison.groups) == 1 else "results"
    sentence = f"{verdicts[Verdict.IDENTICAL]} of {total} {what} identical"
    if verdicts[Verdict.BORDER_ONLY]:
        sentence += f", {verdicts[Verdict.BORDER_ONLY]} with other but admissible border points"
    if verdicts[Verdict.DIFFERENT]:
        sentence += f", {verdicts[Verdict.DIFFERENT]} different and therefore not ranked"
    return [f"{sentence}."]


def _done(entry: Entry) -> bool:
    return entry.state is TrialState.SUCCEEDED


def _faster(comparison: Comparison) -> list[str]:
    if len(comparison.groups) == 1:
        sentence = _faster_in(comparison.groups[0], comparison.reference)
        return [sentence] if sentence else []
    best = [_best(group) for group in comparison.groups]
    wins = Counter(entry.label for entry in best if entry is not None)
    ranked = sum(wins.values())
    if not ranked:
        return []
    label, number = wins.most_common(1)[0]
    if label == comparison.reference:
        return [f"{label}, the reference, was fastest in {number} of {ranked} tasks."]
    ratios = [e.ratio.estimate for g in comparison.groups for e in g.entries if e.label == label and e.ratio]
    span = f": {_span(ratios)} as fast as {comparison.reference}" if ratios else ""
    return [f"{label} was fastest in {number} of {ranked} tasks{span}."]


def _span(ratios: list[float]) -> str:
    low, high = times(min(ratios)), times(max(ratios))
    return low if low == high else f"{low} to {high}"


def _best(group: Group) -> Entry | None:
    ranked = [entry for entry in group.entries if entry.timing and is_certified(entry)]
    return min(ranked, key=lambda e: e.timing.median if e.timing else 0.0, default=None)


def _faster_in(group: Group, reference: str) -> str:
    others = [e for e in group.entries if e.ratio and not e.is_reference and is_certified(e)]
    if not others:
        return ""
    best = max(others, key=lambda e: e.ratio.estimate if e.ratio else 0.0)
    ratio = best.ratio
    if ratio is None:
        return ""
    interval = f"[{factor(ratio.low)}, {factor(ratio.high)}]"
    doubt = "" if ratio.paired else " (measured apart, so drift is not excluded)"
    if ratio.low > 1:
        return f"{best.label} is {times(ratio.estimate)} faster than {reference} {interval}{doubt}."
    if ratio.high < 1:
        return (
            f"{reference} is the fastest; next is {best.label} at {times(ratio.estimate)} its speed {interval}{doubt}."
        )
    return (
        f"{best.label} and {reference} are equally fast within the interval: {times(ratio.estimate)} {interval}{doubt}."
    )


def _failures(comparison: Comparison) -> list[str]:
    entries = [entry for group in comparison.groups for entry in group.entries]
    codes = Counter(entry.failure.code.value for entry in entries if entry.failure)
    if not codes:
        return []
    named = ", ".join(f"{number} {code}" for code, number in codes.most_common())
    return [f"{sum(codes.values())} of {len(entries)} trials have no result: {named}."]

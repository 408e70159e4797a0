"""The answer of a run: certificates first, then times of what passed, then memory. A failure is an entry, too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final
from uuid import UUID

from app.contracts.canonical import canonical_json, digest
from app.contracts.comparison import Comparison, Entry, Group, Growth, Ratio, Statistics
from app.contracts.failures import Failure
from app.contracts.measurement import (
    MEMORY_ROUND,
    Environment,
    Fingerprint,
    MemoryFigure,
    Quality,
    Sample,
)
from app.contracts.states import RunState, RunTrigger, TrialState, Verdict
from app.domain.certificate import verdict
from app.domain.statistics import RatioBootstrap, growth_exponent, rank_tests, timing

CERTIFIED: Final = frozenset({Verdict.IDENTICAL, Verdict.BORDER_ONLY})
MIN_GROWTH_SIZES: Final = 3


@dataclass(frozen=True)
class RunFacts:
    run_id: UUID
    experiment: str
    state: RunState
    reference: str
    rounds: int
    description: str = ""
    seed: int = 0
    trigger: RunTrigger = RunTrigger.MANUAL
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class TrialFacts:
    """`measured_batch_id`: the batch in which the samples were really taken, an older one when they are reused."""

    trial_id: UUID
    label: str
    algorithm: str
    algorithm_version: str
    parameters: dict[str, Any]
    problem: dict[str, Any]
    dataset: str
    dataset_sha256: str
    d: int
    sample_size: int
    state: TrialState
    is_reference: bool
    exact: bool = True
    reused: bool = False
    measured_batch_id: UUID | None = None
    samples: Sequence[Sample] = ()
    memory: MemoryFigure | None = None
    predicted_bytes: int | None = None
    fingerprint: Fingerprint | None = None
    quality: Quality | None = None
    failure: Failure | None = None
    environment: Environment | None = None


@dataclass(frozen=True)
class _Judged:
    """A trial with its entry. `ranked`: the reference itself, or certified against it, and finished."""

    facts: TrialFacts
    entry: Entry
    ranked: bool


def compare(run: RunFacts, trials: Sequence[TrialFacts]) -> Comparison:
    """Every trial in its group, in the order given; groups in order of first appearance."""
    grouped: dict[tuple[str, int, str], list[TrialFacts]] = {}
    for trial in trials:
        key = (trial.dataset_sha256, trial.sample_size, canonical_json(trial.problem))
        grouped.setdefault(key, []).append(trial)
    bootstrap = RatioBootstrap(run.seed)
    judged = [_judge_group(group, bootstrap) for group in grouped.values()]
    return Comparison(
        experiment=run.experiment,
        description=run.description,
        run_id=run.run_id,
        state=run.state,
        trigger=run.trigger,
        remarks=list(run.remarks),
        reference=run.reference,
        rounds=run.rounds,
        groups=[_group(group) for group in judged],
        statistics=_statistics(judged),
        environments=_environments(trials),
    )


def fit_seconds(samples: Iterable[Sample]) -> dict[int, float]:
    """Seconds of the good timed fits by round: the memory pass and failed samples are left out."""
    return {
        sample.round: sample.phases.fit
        for sample in samples
        if sample.round > MEMORY_ROUND and sample.failure is None and sample.phases.fit is not None
    }


def _group(judged: Sequence[_Judged]) -> Group:
    first = judged[0].facts
    front = _pareto_front(judged)
    return Group(
        dataset=first.dataset,
        dataset_sha256=first.dataset_sha256,
        sample_size=first.sample_size,
        d=first.d,
        problem=first.problem,
        entries=[one.entry.model_copy(update={"on_pareto_front": one.facts.trial_id in front}) for one in judged],
    )


def _judge_group(group: Sequence[TrialFacts], bootstrap: RatioBootstrap) -> list[_Judged]:
    reference = next((trial for trial in group if trial.is_reference), None)
    return [_judge(trial, reference, bootstrap) for trial in group]


def _judge(trial: TrialFacts, reference: TrialFacts | None, bootstrap: RatioBootstrap) -> _Judged:
    decided, reason = _verdict(trial, reference)
    seconds = fit_seconds(trial.samples)
    timed = timing([seconds[number] for number in sorted(seconds)]) if seconds else None
    passed = decided in CERTIFIED and trial.failure is None
    entry = Entry(
        trial_id=trial.trial_id,
        label=trial.label,
        algorithm=trial.algorithm,
        algorithm_version=trial.algorithm_version,
        parameters=trial.parameters,
        state=trial.state,
        is_reference=trial.is_reference,
        reused=trial.reused,
        verdict=decided,
        verdict_reason=reason,
        timing=timed,
        # Gate first: how much faster a different result came is no answer to anyone's question.
        ratio=_ratio(trial, reference, bootstrap) if passed and reference is not None else None,
        cpu_seconds=_cpu_seconds(trial.samples),
        memory=trial.memory,
        predicted_bytes=trial.predicted_bytes,
        points_per_second=trial.sample_size / timed.median if timed is not None and timed.median > 0 else None,
        quality=trial.quality,
        failure=trial.failure,
    )
    certified = trial.is_reference or (passed and trial.exact)
    return _Judged(trial, entry, ranked=certified and trial.state is TrialState.SUCCEEDED)


def _verdict(trial: TrialFacts, reference: TrialFacts | None) -> tuple[Verdict | None, str]:
    if trial.is_reference:
        return None, "this is the reference"
    if trial.fingerprint is None:
        return None, "there is no result to compare"
    if reference is None:
        return None, "the reference has no trial in this group"
    if reference.fingerprint is None:
        why = f" ({reference.failure.code})" if reference.failure is not None else ""
        return None, f"the reference has no result{why}"
    return verdict(reference.fingerprint, trial.fingerprint, trial.exact)


def _ratio(trial: TrialFacts, reference: TrialFacts, bootstrap: RatioBootstrap) -> Ratio | None:
    if reference.failure is not None:
        return None
    above, below = fit_seconds(reference.samples), fit_seconds(trial.samples)
    interleaved = _interleaved(reference, trial)
    if not interleaved & above.keys() & below.keys():
        return bootstrap.ratio(above, below, paired=False)
    return bootstrap.ratio(_only(above, interleaved), _only(below, interleaved), paired=True)


def _interleaved(one: TrialFacts, other: TrialFacts) -> set[int]:
    """Rounds in which one attempt at one batch measured both, on one worker within minutes. A round that a worker
    began and another finished has samples of two attempts, which nothing holds together."""
    if one.measured_batch_id is None or one.measured_batch_id != other.measured_batch_id:
        return set()
    attempts = {(sample.round, sample.attempt) for sample in one.samples}
    return {sample.round for sample in other.samples if (sample.round, sample.attempt) in attempts}


def _only(seconds: Mapping[int, float], rounds: Collection[int]) -> dict[int, float]:
    return {number: value for number, value in seconds.items() if number in rounds}


def _cpu_seconds(samples: Iterable[Sample]) -> float | None:
    seconds = [
        sample.fit_cpu_seconds
        for sample in samples
        if sample.round > MEMORY_ROUND and sample.failure is None and sample.fit_cpu_seconds is not None
    ]
    return median(seconds) if seconds else None


def _pareto_front(judged: Iterable[_Judged]) -> set[UUID]:
    """Trials whose median time and extra memory no other ranked trial of the group beats in both."""
    points = {
        one.facts.trial_id: (one.entry.timing.median, one.facts.memory.extra_bytes)
        for one in judged
        if one.ranked
        and one.entry.timing is not None
        and one.facts.memory is not None
        and one.facts.memory.method != "unsupported"
    }
    return {
        trial_id
        for trial_id, (time, memory) in points.items()
        if not any(t <= time and m <= memory and (t, m) != (time, memory) for t, m in points.values())
    }


def _statistics(groups: Sequence[Sequence[_Judged]]) -> Statistics:
    names = _contender_names(one.facts for group in groups for one in group)
    blocks: dict[str, dict[str, float]] = defaultdict(dict)
    for number, group in enumerate(groups):
        for one in group:
            if one.ranked and one.entry.timing is not None:
                blocks[names[one.facts.trial_id]][str(number)] = one.entry.timing.median
    return rank_tests(blocks).model_copy(update={"growth": _growth(groups, names)})


def _contender_names(trials: Iterable[TrialFacts]) -> dict[UUID, str]:
    """The label, and where a label has several settings of one problem, those that tell them apart."""
    settings: dict[UUID, tuple[str, dict[str, Any]]] = {}
    values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for trial in trials:
        own = {name: value for name, value in trial.parameters.items() if name not in trial.problem}
        settings[trial.trial_id] = (trial.label, own)
        for name, value in own.items():
            values[trial.label][name].add(canonical_json(value))
    named: dict[UUID, str] = {}
    for trial_id, (label, own) in settings.items():
        varying = [f"{name}={own[name]}" for name in sorted(own) if len(values[label][name]) > 1]
        named[trial_id] = f"{label} ({', '.join(varying)})" if varying else label
    return named


def _growth(groups: Iterable[Sequence[_Judged]], names: dict[UUID, str]) -> list[Growth]:
    curves: dict[tuple[str, str, str], list[tuple[int, float, TrialFacts]]] = defaultdict(list)
    for group in groups:
        for one in group:
            if one.facts.state is TrialState.SUCCEEDED and one.entry.timing is not None:
                facts = one.facts
                key = (names[facts.trial_id], facts.dataset_sha256, canonical_json(facts.problem))
                curves[key].append((facts.sample_size, one.entry.timing.median, facts))
    found: list[Growth] = []
    for (name, _, _), curve in curves.items():
        curve.sort(key=lambda point: point[0])
        sizes, medians = [size for size, _, _ in curve], [median for _, median, _ in curve]
        if len(set(sizes)) >= MIN_GROWTH_SIZES:
            facts = curve[0][2]
            exponent = growth_exponent(sizes, medians)
            found.append(
                Growth(
                    label=name,
                    dataset=facts.dataset,
                    problem=facts.problem,
                    exponent=exponent,
                    sizes=sizes,
                    medians=medians,
                )
            )
    return found


def _environments(trials: Iterable[TrialFacts]) -> list[Environment]:
    distinct = {
        digest(trial.environment.model_dump(mode="json")): trial.environment
        for trial in trials
        if trial.environment is not None
    }
    return list(distinct.values())

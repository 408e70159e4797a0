"""Rules of the comparison: gate first, time second; failures stay visible; tests only where there is enough data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from comparison_builders import BATCH, MIB, OTHER_BATCH, RUN_FACTS, fingerprint, sample, trial
from hypothesis import given, settings
from hypothesis import strategies as st

from app.contracts.comparison import Comparison, Entry
from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import MemoryFigure, Sample
from app.contracts.states import TrialState, Verdict
from app.domain.comparison import TrialFacts, compare
from app.domain.statistics import RatioBootstrap, growth_exponent, rank_tests

TIMES = st.dictionaries(st.integers(1, 12), st.floats(1e-6, 1e4), min_size=1, max_size=12)
TRIED = st.integers(1, 3)
FAILURE = Failure.of(FailureCode.TIMEOUT, "600 s are over")


def compared(*trials: TrialFacts) -> Comparison:
    return compare(RUN_FACTS, trials)


def entries(*trials: TrialFacts) -> dict[str, Entry]:
    return {entry.label: entry for group in compared(*trials).groups for entry in group.entries}


def at_attempt(one: Sample, attempt: int) -> Sample:
    return one.model_copy(update={"attempt": attempt})


def test_only_good_timed_rounds_count() -> None:
    odd = trial("tree", [1.0, 3.0, 2.0])
    samples = [*odd.samples, sample(4, 50.0, FAILURE)]
    entry = entries(trial("tree", samples=samples))["tree"]
    assert entry.timing is not None
    assert entry.timing.samples == [1.0, 3.0, 2.0]
    assert (entry.timing.median, entry.timing.minimum, entry.timing.spread) == (2.0, 1.0, 1.0)
    assert entry.cpu_seconds == 4.0
    assert entry.points_per_second == 500.0


def test_the_ratio_says_how_many_times_faster_than_the_reference() -> None:
    ratio = entries(trial("tree", [4.0, 4.0, 4.0]), trial("fast", [2.0, 2.0, 2.0]))["fast"].ratio
    assert ratio is not None
    assert (ratio.low, ratio.estimate, ratio.high, ratio.paired, ratio.rounds) == (2.0, 2.0, 2.0, True, 3)


def test_a_ratio_is_paired_only_if_the_samples_were_taken_in_one_batch() -> None:
    reference = trial("tree", [4.0, 4.1])
    elsewhere = entries(reference, trial("fast", [2.0, 2.1], measured_batch_id=OTHER_BATCH))["fast"].ratio
    together = entries(reference, trial("fast", [2.0, 2.1], measured_batch_id=BATCH, reused=True))["fast"].ratio
    assert elsewhere is not None
    assert together is not None
    assert (elsewhere.paired, together.paired) == (False, True)


def test_a_round_that_two_attempts_share_pairs_nothing() -> None:
    """Attempt 1 measured round 2 of the reference, then its worker was drained; attempt 2 measured the rest."""
    reference = trial("tree", [4.0, 4.0, 4.0])
    other = trial("fast", [2.0, 1.0, 2.0])
    moved = [at_attempt(one, 2) if one.round >= 2 else one for one in other.samples]
    followed = [at_attempt(one, 2) if one.round == 3 else one for one in reference.samples]
    ratio = entries(replace(reference, samples=followed), replace(other, samples=moved))["fast"].ratio
    assert ratio is not None
    assert (ratio.low, ratio.estimate, ratio.high, ratio.paired, ratio.rounds) == (2.0, 2.0, 2.0, True, 2)


def test_samples_that_were_never_interleaved_give_an_unpaired_ratio_of_all_of_them() -> None:
    other = trial("fast", [2.0, 2.0])
    later = replace(other, samples=[at_attempt(one, 2) for one in other.samples])
    ratio = entries(trial("tree", [4.0, 4.0]), later)["fast"].ratio
    assert ratio is not None
    assert (ratio.estimate, ratio.paired, ratio.rounds) == (2.0, False, 2)


@settings(max_examples=30, deadline=None)  # numpy and scipy are imported by the first example
@given(st.lists(st.tuples(TRIED, TRIED), min_size=1, max_size=8))
def test_only_rounds_of_one_attempt_are_resampled_jointly(attempts: list[tuple[int, int]]) -> None:
    reference, other = (
        replace(made, samples=[at_attempt(one, tried[one.round - 1]) for one in made.samples if one.round])
        for made, tried in (
            (trial("tree", [4.0] * len(attempts)), [first for first, _ in attempts]),
            (trial("fast", [2.0] * len(attempts)), [second for _, second in attempts]),
        )
    )
    ratio = entries(reference, other)["fast"].ratio
    together = sum(first == second for first, second in attempts)
    assert ratio is not None
    assert (ratio.paired, ratio.rounds) == ((True, together) if together else (False, len(attempts)))


def test_trials_of_unknown_batches_are_not_taken_for_paired() -> None:
    trials = (trial("tree", [4.0], measured_batch_id=None), trial("fast", [2.0], measured_batch_id=None))
    ratio = entries(*trials)["fast"].ratio
    assert ratio is not None
    assert not ratio.paired


def test_drift_that_hits_both_alike_cancels_in_a_paired_ratio() -> None:
    drift = {number: float(number) for number in range(1, 11)}
    halved = {number: value / 2 for number, value in drift.items()}
    paired = RatioBootstrap(0).ratio(drift, halved, paired=True)
    unpaired = RatioBootstrap(0).ratio(drift, halved, paired=False)
    assert paired is not None
    assert unpaired is not None
    assert (paired.low, paired.high) == (2.0, 2.0)
    assert unpaired.low < 1.5
    assert unpaired.high > 2.5


def test_a_paired_ratio_uses_the_rounds_that_both_have() -> None:
    ratio = RatioBootstrap(0).ratio({1: 8.0, 2: 4.0, 3: 100.0}, {1: 2.0, 2: 1.0}, paired=True)
    assert ratio is not None
    assert (ratio.rounds, ratio.low, ratio.high) == (2, 4.0, 4.0)
    assert RatioBootstrap(0).ratio({1: 1.0}, {2: 1.0}, paired=True) is None


@settings(max_examples=60, deadline=None)
@given(reference=TIMES, other=TIMES, paired=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_the_interval_contains_the_estimate_and_repeats_with_its_seed(
    reference: dict[int, float], other: dict[int, float], paired: bool, seed: int
) -> None:
    ratio = RatioBootstrap(seed).ratio(reference, other, paired)
    assert ratio == RatioBootstrap(seed).ratio(reference, other, paired)
    if ratio is None:
        assert paired
        assert not reference.keys() & other.keys()
    else:
        assert 0 < ratio.low <= ratio.estimate <= ratio.high


def test_the_interval_covers_the_true_ratio_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for seed in range(100):
        reference = dict(enumerate(2.0 * random.lognormal(0, 0.1, 30)))
        other = dict(enumerate(random.lognormal(0, 0.1, 30)))
        ratio = RatioBootstrap(seed).ratio(reference, other, paired=False)
        assert ratio is not None
        covered += ratio.low <= 2.0 <= ratio.high
    assert 88 <= covered <= 100


def test_a_different_result_has_a_time_but_no_ratio_and_no_place_on_the_front() -> None:
    wrong = entries(trial("tree", [4.0]), trial("wrong", [1.0], extra_mib=1, fingerprint=fingerprint(core="x")))[
        "wrong"
    ]
    assert wrong.verdict is Verdict.DIFFERENT
    assert wrong.timing is not None
    assert wrong.ratio is None
    assert not wrong.on_pareto_front


def test_the_front_holds_what_nothing_certified_beats_in_both_time_and_memory() -> None:
    found = entries(
        trial("tree", [4.0], extra_mib=100),
        trial("fast", [1.0], extra_mib=400),
        trial("lean", [6.0], extra_mib=10, fingerprint=fingerprint(labels="x")),
        trial("beaten", [5.0], extra_mib=100),
        trial("guess", [0.5], extra_mib=1, exact=False),
        trial("blind", [0.4], memory=MemoryFigure(peak_bytes=MIB, baseline_bytes=MIB, method="unsupported")),
    )
    assert {label for label, entry in found.items() if entry.on_pareto_front} == {"tree", "fast", "lean"}
    assert found["lean"].verdict is Verdict.BORDER_ONLY


def test_a_failed_trial_still_has_an_entry_with_its_reason() -> None:
    failed = trial("slow", (), state=TrialState.FAILED, failure=FAILURE, fingerprint=None, memory=None)
    entry = entries(trial("tree"), failed)["slow"]
    assert entry.failure == FAILURE
    assert (entry.state, entry.timing, entry.ratio, entry.verdict) == (TrialState.FAILED, None, None, None)
    assert entry.verdict_reason == "there is no result to compare"


@settings(max_examples=30, deadline=None)
@given(states=st.lists(st.sampled_from(TrialState), min_size=1, max_size=6))
def test_every_trial_has_exactly_one_entry_whatever_became_of_it(states: list[TrialState]) -> None:
    def one(number: int, state: TrialState) -> TrialFacts:
        done = state is TrialState.SUCCEEDED
        return trial(
            "tree" if number == 0 else f"other-{number}",
            (1.0, 2.0) if done else (),
            state=state,
            fingerprint=fingerprint() if done else None,
            failure=FAILURE if state is TrialState.FAILED else None,
        )

    trials = [one(number, state) for number, state in enumerate(states)]
    assert [e.trial_id for g in compared(*trials).groups for e in g.entries] == [t.trial_id for t in trials]


def test_without_a_result_of_the_reference_nothing_is_certified_and_the_reason_says_why() -> None:
    failed = trial("tree", (), state=TrialState.FAILED, failure=FAILURE, fingerprint=None)
    entry = entries(failed, trial("fast"))["fast"]
    assert (entry.verdict, entry.ratio) == (None, None)
    assert entry.verdict_reason == "the reference has no result (timeout)"
    assert entries(trial("fast"))["fast"].verdict_reason == "the reference has no trial in this group"


def test_groups_are_data_size_and_problem() -> None:
    result = compared(
        trial("tree"),
        trial("tree", sample_size=500),
        trial("tree", dataset="moons"),
        trial("tree", problem={"eps": 0.2}, parameters={"eps": 0.2}),
        trial("fast"),
    )
    assert [[entry.label for entry in group.entries] for group in result.groups] == [
        ["tree", "fast"],
        ["tree"],
        ["tree"],
        ["tree"],
    ]


def sweep(labels: Sequence[str], groups: int, factor: float = 0.5) -> list[TrialFacts]:
    """Contender number k takes `factor`**k of the reference's time in each of `groups` data sets."""
    return [
        trial(label, [(10 + number) * factor**place], dataset=f"data-{number}")
        for number in range(groups)
        for place, label in enumerate(labels)
    ]


def test_below_six_groups_there_are_no_p_values_and_the_reason_says_so() -> None:
    statistics = compared(*sweep(["tree", "fast", "faster"], 5)).statistics
    assert (statistics.pairs, statistics.friedman_p, statistics.mean_ranks) == ([], None, {})
    assert "at least 6 groups" in statistics.reason


def test_from_six_groups_on_pairs_are_tested_over_groups_with_holms_correction() -> None:
    statistics = compared(*sweep(["tree", "fast", "faster"], 6)).statistics
    # The smallest two-sided p of six blocks is 2/2^6; Holm multiplies the first of three by three.
    assert [(pair.first, pair.second, pair.blocks) for pair in statistics.pairs] == [
        ("tree", "fast", 6),
        ("tree", "faster", 6),
        ("fast", "faster", 6),
    ]
    assert [pair.p_holm for pair in statistics.pairs] == pytest.approx([3 * 2 / 2**6] * 3)
    assert statistics.mean_ranks == {"tree": 3.0, "fast": 2.0, "faster": 1.0}
    assert statistics.friedman_p == pytest.approx(np.exp(-6))  # chi-squared 12 with 2 degrees of freedom
    assert statistics.reason == ""


def test_equal_times_are_no_evidence() -> None:
    statistics = compared(*sweep(["tree", "same", "again"], 6, factor=1.0)).statistics
    assert [pair.p_holm for pair in statistics.pairs] == [1.0, 1.0, 1.0]
    assert statistics.friedman_p == 1.0


def test_two_contenders_have_a_pair_test_but_no_friedman_test() -> None:
    statistics = compared(*sweep(["tree", "fast"], 6)).statistics
    assert len(statistics.pairs) == 1
    assert statistics.friedman_p is None
    assert statistics.reason == "the Friedman test needs at least 3 contenders"


def test_hundreds_of_contenders_are_not_tested_pair_by_pair() -> None:
    blocks = {f"contender-{k}": {str(g): float(k + 1) for g in range(6)} for k in range(400)}
    statistics = rank_tests(blocks)
    assert (statistics.pairs, statistics.mean_ranks) == ([], {})
    assert "there are 400" in statistics.reason


def test_uncertified_results_are_not_ranked() -> None:
    trials = sweep(["tree", "fast"], 6) + [
        trial("wrong", [0.1], dataset=f"data-{number}", fingerprint=fingerprint(core="x")) for number in range(6)
    ]
    assert set(compared(*trials).statistics.mean_ranks) == {"tree", "fast"}


@settings(max_examples=30, deadline=None)
@given(table=st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=3, max_size=3), min_size=6, max_size=9))
def test_p_values_are_probabilities_however_many_ties_there_are(table: list[list[float]]) -> None:
    blocks = {name: {str(g): row[k] for g, row in enumerate(table)} for k, name in enumerate("abc")}
    statistics = rank_tests(blocks)
    assert all(0 <= pair.p_holm <= 1 for pair in statistics.pairs)
    assert statistics.friedman_p is not None
    assert 0 <= statistics.friedman_p <= 1
    assert sum(statistics.mean_ranks.values()) == pytest.approx(6.0)


def test_growth_is_the_exponent_of_time_over_size() -> None:
    sizes = [1_000, 2_000, 4_000]
    quadratic = [trial("tree", [1e-6 * size**2], sample_size=size) for size in reversed(sizes)]
    (growth,) = compared(*quadratic).statistics.growth
    assert growth.sizes == sizes
    assert growth.exponent == pytest.approx(2.0)
    assert compared(*quadratic[:2]).statistics.growth == []


@given(exponent=st.floats(-3, 3), scale=st.floats(1e-3, 1e3))
def test_the_exponent_of_a_power_law_is_recovered(exponent: float, scale: float) -> None:
    sizes = [10, 100, 500, 1_000]
    assert growth_exponent(sizes, [scale * (size / 100) ** exponent for size in sizes]) == pytest.approx(
        exponent, abs=1e-6
    )


def test_settings_of_one_label_are_contenders_of_their_own() -> None:
    trials = [
        trial("tree", [leaf * size / 1_000], sample_size=size, parameters={"eps": 0.1, "leaf_size": leaf})
        for size in (1_000, 2_000, 3_000)
        for leaf in (10, 40)
    ]
    growth = compared(*trials).statistics.growth
    assert [one.label for one in growth] == ["tree (leaf_size=10)", "tree (leaf_size=40)"]
    assert growth[1].medians == [40.0, 80.0, 120.0]

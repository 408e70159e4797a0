"""What becomes of a run as it grows old: never what is pinned, goes on, or is referred to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.retention import Fate, Rules, RunFacts, fate

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RULES = Rules(runs_days=365, runs_per_experiment=10, artifacts_days=90, previews_days=7)
OLD = RunFacts(
    finished_at=NOW - timedelta(days=1_000),
    is_preview=False,
    is_pinned=False,
    has_artifacts=True,
    is_referred=False,
    is_referred_with_artifacts=False,
    is_newest_result=False,
    newer=0,
)


def ended(days: float) -> datetime:
    return NOW - timedelta(days=days)


runs = st.builds(
    RunFacts,
    finished_at=st.none() | st.floats(0, 2_000).map(ended),
    is_preview=st.booleans(),
    is_pinned=st.booleans(),
    has_artifacts=st.booleans(),
    is_referred=st.booleans(),
    is_referred_with_artifacts=st.booleans(),
    is_newest_result=st.booleans(),
    newer=st.integers(0, 100),
)
rules = st.builds(Rules, *[st.integers(0, 1_000)] * 4)


@given(runs, rules)
def test_a_pinned_run_and_one_that_goes_on_stay_whatever_the_rules(run: RunFacts, rules: Rules) -> None:
    assert fate(replace(run, is_pinned=True), rules, NOW) is Fate.STAYS
    assert fate(replace(run, finished_at=None), rules, NOW) is Fate.STAYS


@given(runs, rules)
def test_a_run_whose_results_others_reuse_never_goes_and_keeps_the_labels_they_have(
    run: RunFacts, rules: Rules
) -> None:
    assert fate(replace(run, is_referred=True), rules, NOW) is not Fate.GOES
    both = replace(run, is_referred=True, is_referred_with_artifacts=True)
    assert fate(both, rules, NOW) is Fate.STAYS


@given(runs, rules)
def test_the_last_result_of_an_experiment_never_goes_however_old(run: RunFacts, rules: Rules) -> None:
    assert fate(replace(run, is_newest_result=True, is_preview=False), rules, NOW) is not Fate.GOES


@given(runs)
def test_rules_of_zero_are_for_ever(run: RunFacts) -> None:
    assert fate(run, Rules(0, 0, 0, 0), NOW) is Fate.STAYS


@given(runs, rules, st.integers(0, 1_000))
def test_whoever_goes_today_would_go_tomorrow(run: RunFacts, rules: Rules, days: int) -> None:
    today, later = fate(run, rules, NOW), fate(run, rules, NOW + timedelta(days=days))
    assert today is not Fate.GOES or later is Fate.GOES
    assert today is not Fate.LOSES_ARTIFACTS or later is not Fate.STAYS


@given(runs, rules)
def test_artifacts_are_taken_once(run: RunFacts, rules: Rules) -> None:
    assert fate(replace(run, has_artifacts=False), rules, NOW) is not Fate.LOSES_ARTIFACTS


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Fate.GOES),
        ({"finished_at": ended(100)}, Fate.LOSES_ARTIFACTS),
        ({"finished_at": ended(100), "has_artifacts": False}, Fate.STAYS),
        ({"finished_at": ended(10)}, Fate.STAYS),
        ({"finished_at": ended(10), "newer": 9}, Fate.STAYS),
        ({"finished_at": ended(10), "newer": 10}, Fate.GOES),
        ({"is_newest_result": True, "newer": 10}, Fate.LOSES_ARTIFACTS),
        ({"finished_at": ended(8), "is_preview": True}, Fate.GOES),
        ({"finished_at": ended(6), "is_preview": True}, Fate.STAYS),
        ({"is_referred": True}, Fate.LOSES_ARTIFACTS),
    ],
)
def test_ages_and_counts(changes: dict[str, object], expected: Fate) -> None:
    assert fate(replace(OLD, **changes), RULES, NOW) is expected  # type: ignore[arg-type]

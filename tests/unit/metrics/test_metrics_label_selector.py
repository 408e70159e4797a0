"""Selectors select as Kubernetes' own do; the texts are what HPAs and kubectl send."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.metrics.label_selector import SelectorError, parse

QUEUES = ("default", "high-memory", "priority", "spark")


def selected(text: str) -> list[str]:
    holds = parse(text)
    return [queue for queue in QUEUES if holds({"queue": queue})]


@pytest.mark.parametrize(
    ("text", "queues"),
    [
        ("", QUEUES),
        ("queue=spark", ["spark"]),
        ("queue==spark", ["spark"]),
        ("queue!=spark", ["default", "high-memory", "priority"]),
        ("queue in (spark)", ["spark"]),
        ("queue in (default,high-memory)", ["default", "high-memory"]),
        ("queue in ( default , spark )", ["default", "spark"]),
        ("queue notin (default,spark)", ["high-memory", "priority"]),
        ("queue in (default,spark),queue!=default", ["spark"]),
        ("queue", QUEUES),
        ("!queue", []),
        ("tier=gold", []),
        ("tier!=gold", QUEUES),
        ("tier notin (gold)", QUEUES),
        ("!corepoint.io/tier,queue=priority", ["priority"]),
        ("queue=", []),
        ("queue=nothing-here", []),
    ],
)
def test_a_selector_selects_queues(text: str, queues: list[str]) -> None:
    assert selected(text) == list(queues)


@pytest.mark.parametrize(
    "text",
    [
        "queue=a=b",
        "queue in a",
        "queue in (a",
        "queue in (a b)",
        ",",
        "queue=a,",
        "queue within (a)",
        "=a",
        "!",
        "a" * 2_001,
    ],
)
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    with suppress(SelectorError):
        selected(text)


@given(st.lists(st.sampled_from(QUEUES), min_size=1, unique=True))
def test_in_and_notin_are_complements(queues: list[str]) -> None:
    listed = ",".join(queues)
    assert sorted([*selected(f"queue in ({listed})"), *selected(f"queue notin ({listed})")]) == sorted(QUEUES)

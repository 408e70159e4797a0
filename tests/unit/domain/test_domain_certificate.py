"""Rules of the equivalence certificate."""

from __future__ import annotations

import pytest
from comparison_builders import fingerprint

from app.contracts.measurement import Fingerprint
from app.contracts.states import Verdict
from app.domain.certificate import verdict

SAME = fingerprint()
OTHER_BORDERS = fingerprint(labels="others")


@pytest.mark.parametrize(
    ("other", "expected", "words"),
    [
        (SAME, Verdict.IDENTICAL, "every label"),
        (OTHER_BORDERS, Verdict.BORDER_ONLY, "border points"),
        (fingerprint(core="x", labels="x"), Verdict.DIFFERENT, "core points"),
        (fingerprint(partition="x", labels="x"), Verdict.DIFFERENT, "clusters of the core points"),
        (fingerprint(noise="x", labels="x"), Verdict.DIFFERENT, "noise points"),
        (fingerprint(labels="x", inadmissible=3), Verdict.DIFFERENT, "the result puts 3 border point(s)"),
        (fingerprint(labels="x", inadmissible=None), Verdict.DIFFERENT, "not checked"),
        (fingerprint(inadmissible=None), Verdict.IDENTICAL, "every label"),
    ],
)
def test_the_verdict_follows_from_the_fingerprints(other: Fingerprint, expected: Verdict, words: str) -> None:
    decided, reason = verdict(SAME, other, exact=True)
    assert decided is expected
    assert words in reason


def test_a_reference_with_inadmissible_borders_certifies_nobody() -> None:
    wrong = fingerprint(inadmissible=2)
    decided, reason = verdict(wrong, OTHER_BORDERS, exact=True)
    assert decided is Verdict.DIFFERENT
    assert "the reference puts 2" in reason


def test_every_part_that_differs_is_named() -> None:
    _, reason = verdict(SAME, fingerprint(core="x", noise="x"), exact=True)
    assert "core points, noise points" in reason


@pytest.mark.parametrize("other", [SAME, OTHER_BORDERS, fingerprint(core="x")])
def test_an_approximate_algorithm_gets_the_same_verdict_and_a_sentence_that_says_so(other: Fingerprint) -> None:
    assert verdict(SAME, other, exact=False)[0] is verdict(SAME, other, exact=True)[0]
    assert "approximate" in verdict(SAME, other, exact=False)[1]
    assert "approximate" not in verdict(SAME, other, exact=True)[1]

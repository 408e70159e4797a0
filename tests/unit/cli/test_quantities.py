"""Figures are written alike everywhere."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contracts.quantities import count, duration, duration_range, factor, share, significant, size


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.0, "0 µs"), (2e-7, "0.200 µs"), (0.0413, "41.3 ms"), (0.9996, "1.00 s"), (1.8, "1.80 s"), (123.0, "2.05 min"),
     (7200.0, "2.00 h")],
)  # fmt: skip
def test_durations_have_a_unit_and_three_digits(seconds: float, written: str) -> None:
    assert duration(seconds) == written


def test_a_range_is_written_in_one_unit() -> None:
    assert duration_range(0.98, 1.02, 1.1) == "1.02 s [0.980, 1.10]"


@pytest.mark.parametrize(("value", "written"), [(0.0, "0.0 %"), (0.0001, "<0.1 %"), (0.083, "8.3 %"), (1.0, "100.0 %")])
def test_a_small_share_is_no_false_zero(value: float, written: str) -> None:
    assert share(value) == written


@pytest.mark.parametrize(
    ("value", "written"), [(0.004, "0.004"), (0.31, "0.31"), (1.8, "1.80"), (12.46, "12.5"), (140.2, "140")]
)
def test_ratios_have_as_many_digits_as_mean_something(value: float, written: str) -> None:
    assert factor(value) == written


def test_bytes_and_counts() -> None:
    assert (size(12_025_908_428), count(141_176), count(12)) == ("11.2 GiB", "141 k", "12")


@given(st.floats(min_value=1e-12, max_value=1e12))
def test_a_written_number_is_within_half_a_percent(value: float) -> None:
    assert math.isclose(float(significant(value)), value, rel_tol=0.006)

"""Planned times: exactly those that Prefect plans, each once, and what becomes of one that is seen late."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import assume, example, given
from hypothesis import strategies as st
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule
from pydantic import ValidationError

from app.contracts.experiment import Schedule
from app.domain.schedule import PlannedTimes, judge

CREATED = datetime(2026, 1, 1, 10, 20, 30, 123456, tzinfo=UTC)
MOMENTS = st.integers(0, 180 * 24 * 3600).map(
    lambda seconds: datetime(2026, 4, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
STEPS = st.integers(2, 30).map("*/{}".format)


def of(field: range) -> st.SearchStrategy[str]:
    single = st.sampled_from(field)
    pair = st.lists(single, min_size=2, max_size=2, unique=True).map(lambda both: f"{min(both)}-{max(both)}")
    several = st.lists(single, min_size=2, max_size=4, unique=True).map(lambda many: ",".join(map(str, many)))
    return st.one_of(single.map(str), pair, several, STEPS)


@st.composite
def crons(draw: st.DrawFn) -> Schedule:
    anything = st.just("*")
    fields = (
        of(range(60)),
        anything | of(range(24)),
        anything | of(range(1, 29)),
        anything | of(range(1, 13)),
        anything | of(range(7)),
    )
    try:
        return Schedule(
            cron=" ".join(draw(field) for field in fields), timezone=draw(st.sampled_from(["UTC", "Asia/Tokyo"]))
        )
    except ValidationError:
        assume(False)
        raise


INTERVALS = st.integers(60, 10**6).map(lambda seconds: Schedule(interval_seconds=seconds))
SCHEDULES = crons() | INTERVALS


@given(crons(), MOMENTS)
@example(Schedule(cron="0 0 1-7 * 1"), datetime(2026, 6, 1, tzinfo=UTC))
def test_cron_means_what_it_means_to_prefect(schedule: Schedule, moment: datetime) -> None:
    assert schedule.cron is not None
    theirs = CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
    (expected,) = asyncio.run(theirs.get_dates(1, moment + timedelta(microseconds=1)))
    assert PlannedTimes(schedule, CREATED).first_after(moment) == expected


@given(INTERVALS, MOMENTS)
def test_an_interval_means_what_it_means_to_prefect(schedule: Schedule, moment: datetime) -> None:
    planned = PlannedTimes(schedule, CREATED)
    theirs = IntervalSchedule.model_validate(
        {"interval": schedule.interval_seconds, "anchor_date": planned.anchor, "timezone": "UTC"}
    )
    (expected,) = asyncio.run(theirs.get_dates(1, moment + timedelta(microseconds=1)))
    assert planned.first_after(moment) == expected


@given(SCHEDULES, MOMENTS, st.integers(1, 8))
def test_looking_back_finds_what_looking_ahead_promised(schedule: Schedule, moment: datetime, count: int) -> None:
    planned = PlannedTimes(schedule, CREATED)
    ahead = [planned.first_after(moment)]
    while len(ahead) < count:
        ahead.append(planned.first_after(ahead[-1]))
    assert ahead == sorted(set(ahead))
    assert planned.newest(moment, ahead[-1], count) == ahead
    assert planned.newest(moment, ahead[-1], count + 1) == ahead, "nothing before"
    assert planned.newest(ahead[0], ahead[-1], count) == ahead[1:], "what is accounted for is not seen again"
    assert planned.newest(moment, ahead[-1], 1) == ahead[-1:], "the newest, if there are too many"


@given(st.sampled_from(["30 2 * * *", "*/20 * * * *", "0 1-4 * * *"]), st.integers(0, 120))
def test_around_a_change_of_the_clocks_no_time_comes_twice_or_only_one_way(cron: str, hour: int) -> None:
    planned = PlannedTimes(Schedule(cron=cron, timezone="Europe/Berlin"), CREATED)
    for change in (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)):
        moment = change + timedelta(hours=hour - 60)
        ahead = [planned.first_after(moment)]
        while ahead[-1] < moment + timedelta(hours=30):
            ahead.append(planned.first_after(ahead[-1]))
        assert ahead == sorted(set(ahead))
        assert planned.newest(moment, ahead[-1], 1_000) == ahead
        until = moment + timedelta(minutes=hour)
        assert planned.newest(moment, until, 1_000) == [time for time in ahead if time <= until]


@given(
    st.sampled_from(["once", "skip"]),
    st.lists(st.integers(0, 2_000), unique=True, max_size=20),
    st.integers(0, 1_000),
)
def test_every_time_is_run_or_skipped_and_only_a_missed_one_is_skipped(
    catch_up: str, ages: list[int], late_seconds: int
) -> None:
    seen_at, late = CREATED, timedelta(seconds=late_seconds)
    times = sorted(seen_at - timedelta(seconds=age) for age in ages)
    schedule = Schedule.model_validate({"intervalSeconds": 60, "catchUp": catch_up})
    verdict = judge(schedule, times, seen_at, late)
    assert [*verdict.skipped, *verdict.wanted] == times
    if catch_up == "once":
        assert not verdict.skipped
    else:
        assert all(seen_at - time > late for time in verdict.skipped)
        assert all(seen_at - time <= late for time in verdict.wanted)

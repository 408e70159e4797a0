"""The times that a schedule wants, and what becomes of one that is seen late."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import dropwhile, islice, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim

from app.contracts.experiment import Schedule

CLOCK_CHANGE = timedelta(hours=2)
"""More than clocks are ever set back."""


@dataclass(frozen=True)
class Verdict:
    """Planned times that get a run each, and those that were missed for good; both oldest first."""

    wanted: Sequence[datetime]
    skipped: Sequence[datetime]


class PlannedTimes:
    """All times of a schedule, in UTC. An interval counts from `created_at` of its experiment unless it has an anchor.

    They are whole seconds: Prefect computes with floats, and must come to the same times.
    """

    def __init__(self, schedule: Schedule, created_at: datetime) -> None:
        self._cron = schedule.cron
        self._zone = ZoneInfo(schedule.timezone)
        self._interval = timedelta(seconds=schedule.interval_seconds or 0)
        self.anchor = (schedule.anchor or created_at).astimezone(UTC).replace(microsecond=0)

    def first_after(self, moment: datetime) -> datetime:
        if self._cron is not None:
            ahead = (time.astimezone(UTC) for time in CronSim(self._cron, moment.astimezone(self._zone)))
            # In the hour that comes twice when clocks are set back, CronSim begins with the first of the two.
            return next(time for time in ahead if time > moment)
        return self.anchor + ((moment - self.anchor) // self._interval + 1) * self._interval

    def newest(self, after: datetime, until: datetime, limit: int) -> list[datetime]:
        """The last `limit` times that are later than `after` and not later than `until`, oldest first."""
        inside = takewhile(lambda time: time > after, self._backwards(until))
        return list(islice(inside, limit))[::-1]

    def _backwards(self, until: datetime) -> Iterator[datetime]:
        if self._cron is not None:
            # From later on: CronSim knows one of the hours that come twice, and takes that for later than it is.
            start = (until + CLOCK_CHANGE).astimezone(self._zone)
            backwards = (time.astimezone(UTC) for time in CronSim(self._cron, start, reverse=True))
            return dropwhile(lambda time: time > until, backwards)
        return self._intervals_backwards(until)

    def _intervals_backwards(self, until: datetime) -> Iterator[datetime]:
        time = self.anchor + ((until - self.anchor) // self._interval) * self._interval
        while True:
            yield time
            time -= self._interval


def judge(schedule: Schedule, times: Sequence[datetime], seen_at: datetime, late: timedelta) -> Verdict:
    """A time that is first seen within `late` is only late, whatever the schedule says of missed ones."""
    if schedule.catch_up == "once":
        return Verdict(times, ())
    skipped = [time for time in times if seen_at - time > late]
    return Verdict(times[len(skipped) :], skipped)

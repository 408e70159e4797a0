"""What becomes of a run as it grows old. Rules are ages in days and a count; 0 is for ever."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto


class Fate(Enum):
    STAYS = auto()
    LOSES_ARTIFACTS = auto()  # labels, rounds, outcomes; rows and manifests stay
    GOES = auto()  # rows, and then every object


@dataclass(frozen=True)
class Rules:
    runs_days: int
    runs_per_experiment: int
    artifacts_days: int
    previews_days: int


@dataclass(frozen=True)
class RunFacts:
    """`newer`: measurements of the same experiment that came later, have ended and are not pinned.

    `is_referred`: another run reuses a result of this one; `is_referred_with_artifacts`: and still has its artifacts,
    the labels of which are here. `is_newest_result`: nothing later of the experiment succeeded, not even in part.
    """

    finished_at: datetime | None
    is_preview: bool
    is_pinned: bool
    has_artifacts: bool
    is_referred: bool
    is_referred_with_artifacts: bool
    is_newest_result: bool
    newer: int


def fate(run: RunFacts, rules: Rules, now: datetime) -> Fate:
    """Nothing that is pinned, goes on, or is referred to is taken away; nor an experiment's last result."""
    if run.finished_at is None or run.is_pinned:
        return Fate.STAYS
    age = now - run.finished_at
    if _has_had_its_time(run, rules, age) and not run.is_referred:
        return Fate.GOES
    if run.has_artifacts and _is_past(age, rules.artifacts_days) and not run.is_referred_with_artifacts:
        return Fate.LOSES_ARTIFACTS
    return Fate.STAYS


def _has_had_its_time(run: RunFacts, rules: Rules, age: timedelta) -> bool:
    if run.is_preview:
        return _is_past(age, rules.previews_days)
    if run.is_newest_result:
        return False
    too_many = 0 < rules.runs_per_experiment <= run.newer
    return too_many or _is_past(age, rules.runs_days)


def _is_past(age: timedelta, days: int) -> bool:
    return days > 0 and age > timedelta(days=days)

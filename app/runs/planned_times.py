"""Every planned time of a schedule is accounted for once: by its run, or as missed.

`experiment.scheduled_until` says how far, and moves under the lock of the experiment's row alone. Whoever comes for a
time accounts for all before it, so that times cannot overtake each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import new_id
from app.contracts.experiment import ExperimentSpec, Schedule
from app.contracts.states import RunState, RunTrigger
from app.db.models import Experiment, Run, WorkKind
from app.db.work import want
from app.domain.schedule import PlannedTimes, judge
from app.runs.events import record
from app.settings import ScheduleSettings


def schedule_of(experiment: Experiment) -> Schedule | None:
    """What the experiment has, paused or not."""
    return ExperimentSpec.model_validate(experiment.spec).schedule


def begin(experiment: Experiment, now: datetime) -> None:
    """The schedule holds from now on: what it or another wanted before is nobody's."""
    schedule = schedule_of(experiment)
    experiment.scheduled_until = now if schedule is not None else None
    experiment.scheduled_next = None
    if schedule is not None and not schedule.paused:
        experiment.scheduled_next = PlannedTimes(schedule, experiment.created_at).first_after(now)


async def account(
    session: AsyncSession, experiment: Experiment, until: datetime, now: datetime, settings: ScheduleSettings
) -> list[Run]:
    """Account for the times up to `until`, for a page of them at most if they are to be caught up.

    Answers the new runs, in state planning, each wished for. The caller holds the lock of the experiment's row.
    """
    schedule = schedule_of(experiment)
    if experiment.scheduled_next is None or experiment.scheduled_next > until:
        return []
    if schedule is None or schedule.paused or experiment.scheduled_until is None:
        begin(experiment, now)
        return []
    planned = PlannedTimes(schedule, experiment.created_at)
    limit = settings.missed_limit
    times = await _without_a_run(session, experiment, planned.newest(experiment.scheduled_until, until, limit + 1))
    if len(times) > limit:
        why = f"no more than {limit:,} times are looked back at; there may be others before"
        await _tell_missed(session, experiment, times[:1], now, why=why)
        times = times[1:]
    verdict = judge(schedule, times, now, timedelta(seconds=settings.late_seconds))
    if verdict.skipped:
        await _tell_missed(session, experiment, verdict.skipped, now, why="catchUp: skip")
    wanted = verdict.wanted[: settings.page]
    runs = await _runs(session, experiment, wanted, now)
    is_whole = len(wanted) == len(verdict.wanted)
    experiment.scheduled_until = until if is_whole else wanted[-1]
    experiment.scheduled_next = planned.first_after(experiment.scheduled_until)
    await session.flush()
    return runs


async def account_all(session: AsyncSession, experiment: Experiment, now: datetime, settings: ScheduleSettings) -> None:
    """As `account`, to the last time that has come: before the schedule changes, and with it what was wanted."""
    while experiment.scheduled_next is not None and experiment.scheduled_next <= now:
        await account(session, experiment, now, now, settings)


async def _without_a_run(
    session: AsyncSession, experiment: Experiment, times: Sequence[datetime]
) -> Sequence[datetime]:
    """A time may have its run already: started early by a person, or wanted by the schedule before this one, too."""
    if not times:
        return times
    known = select(Run.scheduled_for).where(Run.experiment_id == experiment.id, Run.scheduled_for.in_(times))
    taken = set((await session.scalars(known)).all())
    return [time for time in times if time not in taken]


async def _runs(session: AsyncSession, experiment: Experiment, times: Sequence[datetime], now: datetime) -> list[Run]:
    runs = [_run(experiment, time, now, RunState.PLANNING) for time in times]
    session.add_all(runs)
    await session.flush()
    for run in runs:
        record(session, run.id, now, "run_created", "the run was created (scheduled)")
        await want(session, WorkKind.RUN, run.id, now)
    return runs


async def _tell_missed(
    session: AsyncSession, experiment: Experiment, times: Sequence[datetime], now: datetime, *, why: str
) -> None:
    """One cancelled run stands for all of them: people see it where they look for the runs."""
    trace = _run(experiment, times[-1], now, RunState.CANCELLED)
    trace.finished_at = now
    session.add(trace)
    await session.flush()
    first, last = times[0].isoformat(), times[-1].isoformat()
    which = f"the planned time {last} was" if first == last else f"{len(times)} planned times, {first} to {last}, were"
    message = f"{which} missed and not run ({why})"
    record(session, trace.id, now, "schedule_missed", message, times=len(times), first=first, last=last)


def _run(experiment: Experiment, time: datetime, now: datetime, state: RunState) -> Run:
    return Run(
        id=new_id(),
        experiment_id=experiment.id,
        spec=experiment.spec,
        trigger=RunTrigger.SCHEDULED,
        state=state,
        scheduled_for=time,
        created_at=now,
    )


async def run_at(session: AsyncSession, experiment_id: UUID, time: datetime) -> Run | None:
    query = select(Run).where(Run.experiment_id == experiment_id, Run.scheduled_for == time)
    found: Run | None = await session.scalar(query)
    return found

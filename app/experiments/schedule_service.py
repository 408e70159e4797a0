"""Changes of an experiment's schedule. What it wanted until then is kept: those times have their runs first."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.canonical import digest
from app.contracts.experiment import ExperimentSpec, Schedule
from app.contracts.problems import ProblemCode
from app.contracts.views import ExperimentView
from app.db.models import Experiment, WorkKind
from app.db.work import want
from app.experiments import repository, service
from app.problems import RefusedError
from app.runs import planned_times
from app.settings import ScheduleSettings


async def replace(
    session: AsyncSession, key: str, schedule: Schedule | None, settings: ScheduleSettings, now: datetime
) -> ExperimentView:
    """The experiment has this schedule from now on, or none. Raises RefusedError not_found."""
    row = await service.demand_locked(session, key)
    return await _change(session, row, schedule, settings, now)


async def set_paused(
    session: AsyncSession, key: str, paused: bool, settings: ScheduleSettings, now: datetime
) -> ExperimentView:
    """Raises RefusedError not_found, state_conflict if there is no schedule."""
    row = await service.demand_locked(session, key)
    schedule = planned_times.schedule_of(row)
    if schedule is None:
        raise RefusedError(ProblemCode.STATE_CONFLICT, f"The experiment {row.name!r} has no schedule.")
    return await _change(session, row, schedule.model_copy(update={"paused": paused}), settings, now)


async def _change(
    session: AsyncSession, row: Experiment, schedule: Schedule | None, settings: ScheduleSettings, now: datetime
) -> ExperimentView:
    spec = ExperimentSpec.model_validate(row.spec)
    if schedule != spec.schedule:
        await planned_times.account_all(session, row, now, settings)
        row.spec = spec.model_copy(update={"schedule": schedule}).model_dump(mode="json", by_alias=True)
        row.spec_sha256 = digest(row.spec)
        row.version += 1
        planned_times.begin(row, now)
        await session.flush()
        await want(session, WorkKind.EXPERIMENT, row.id, now)
    found = await repository.find(session, row.id)
    return service.view(row, found[1] if found else None)

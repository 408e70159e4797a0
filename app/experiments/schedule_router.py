from __future__ import annotations

from fastapi import APIRouter

from app.auth.guard import Write
from app.clock import now
from app.contracts.experiment import Schedule
from app.contracts.problems import ProblemCode
from app.contracts.views import ExperimentView
from app.experiments import schedule_service as service
from app.requests.documented import problems
from app.requests.sessions import Provided, WriteSession

router = APIRouter(prefix="/v1/experiments/{experiment}/schedule", tags=["schedules"], dependencies=[Write])
_GONE = ProblemCode.NOT_FOUND


@router.put("", operation_id="setSchedule", status_code=202, responses=problems(_GONE, body=True))
async def set_schedule(
    experiment: str, schedule: Schedule, resources: Provided, session: WriteSession
) -> ExperimentView:
    """In place of the one before, from now on. Times that passed under that one have their runs."""
    return await service.replace(session, experiment, schedule, resources.settings.schedules, now())


@router.delete("", operation_id="deleteSchedule", status_code=204, responses=problems(_GONE, body=True))
async def delete_schedule(experiment: str, resources: Provided, session: WriteSession) -> None:
    """Runs that exist go on. Deleting what is not there changes nothing."""
    await service.replace(session, experiment, None, resources.settings.schedules, now())


@router.post(
    "/pause",
    operation_id="pauseSchedule",
    status_code=202,
    responses=problems(_GONE, ProblemCode.STATE_CONFLICT, body=True),
)
async def pause_schedule(experiment: str, resources: Provided, session: WriteSession) -> ExperimentView:
    """Times that pass while it is paused are nobody's."""
    return await service.set_paused(session, experiment, True, resources.settings.schedules, now())


@router.post(
    "/resume",
    operation_id="resumeSchedule",
    status_code=202,
    responses=problems(_GONE, ProblemCode.STATE_CONFLICT, body=True),
)
async def resume_schedule(experiment: str, resources: Provided, session: WriteSession) -> ExperimentView:
    """From the next planned time on."""
    return await service.set_paused(session, experiment, False, resources.settings.schedules, now())

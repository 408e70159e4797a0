from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import new_id
from app.contracts.canonical import digest
from app.contracts.experiment import ExperimentSpec
from app.contracts.problems import ProblemCode
from app.contracts.run_request import RunRequest
from app.contracts.views import ExperimentView, Page, PlanView, RunView
from app.db.models import Experiment, Run, WorkKind
from app.db.work import want, want_each
from app.domain.plan import Pace
from app.experiments import repository
from app.experiments.checks import checked_plan
from app.experiments.starting import Start, start_of
from app.problems import RefusedError, not_found
from app.requests.names import id_or_name
from app.requests.pages import PageRequest, page
from app.resources import Resources
from app.runs import planned_times
from app.runs import service as runs
from app.settings import Settings

_LIST = "experiments"


async def create(
    session: AsyncSession, spec: ExperimentSpec, asked: RunRequest | None, resources: Resources, now: datetime
) -> ExperimentView:
    """The experiment, a run if one is `asked` for, and the wishes for both. Raises RefusedError and PlanError."""
    start = start_of(spec, asked, resources.settings) if asked is not None else None
    if await repository.name_is_taken(session, spec.name):
        raise _name_taken(spec.name)
    await checked_plan(session, spec, resources)
    document = spec.model_dump(mode="json", by_alias=True)
    row = Experiment(id=new_id(), name=spec.name, spec=document, spec_sha256=digest(document), created_at=now)
    planned_times.begin(row, now)
    session.add(row)
    try:
        await session.flush()
    except IntegrityError:
        raise _name_taken(spec.name) from None
    await want(session, WorkKind.EXPERIMENT, row.id, now)
    run = await _start(session, row, start, now) if start else None
    return view(row, run.id if run else None)


async def start_run(session: AsyncSession, key: str, asked: RunRequest, resources: Resources, now: datetime) -> RunView:
    """Another run of the experiment. Raises RefusedError and PlanError."""
    row = await demand_locked(session, key)
    start = start_of(ExperimentSpec.model_validate(row.spec), asked, resources.settings)
    await checked_plan(session, start.spec, resources, start.pace)
    return await _start(session, row, start, now)


async def plan_start(session: AsyncSession, key: str, asked: RunRequest, resources: Resources) -> PlanView:
    """What `start_run` would do."""
    row = await demand_locked(session, key)
    start = start_of(ExperimentSpec.model_validate(row.spec), asked, resources.settings)
    return await checked_plan(session, start.spec, resources, start.pace)


async def list_experiments(session: AsyncSession, request: PageRequest) -> Page[ExperimentView]:
    rows = await repository.newest(session, request.after_id(_LIST), request.limit + 1)
    return page(_LIST, request, rows, lambda row: row[0].id, [view(row, latest) for row, latest in rows])


async def get(session: AsyncSession, key: str) -> ExperimentView:
    known = id_or_name(key)
    found = await repository.find(session, known) if known is not None else None
    if found is None:
        raise not_found("experiment", key)
    return view(found[0], found[1])


async def delete(session: AsyncSession, key: str, settings: Settings, now: datetime) -> None:
    """With its runs and their objects, which follow later. Raises RefusedError state_conflict while a run goes on."""
    row = await demand_locked(session, key)
    going = await runs.unfinished(session, row.id)
    if going is not None:
        text = f"The run {going} of {row.name!r} has not ended; cancel it first."
        raise RefusedError(ProblemCode.STATE_CONFLICT, text)
    of_it = select(Run.id).where(Run.experiment_id == row.id)
    await want_each(session, WorkKind.RUN_OBJECTS, of_it, now + timedelta(days=settings.retention.objects_days))
    await session.delete(row)
    await session.flush()
    await want(session, WorkKind.FORGET, row.id, now)


async def _start(session: AsyncSession, row: Experiment, start: Start, now: datetime) -> RunView:
    spec = start.spec.model_dump(mode="json", by_alias=True) if start.differs else None
    return await runs.start(session, row, start.trigger, now, spec=spec, urgent=start.pace is Pace.URGENT)


async def demand_locked(session: AsyncSession, key: str) -> Experiment:
    """Raises RefusedError not_found."""
    known = id_or_name(key)
    row = await repository.lock(session, known) if known is not None else None
    if row is None:
        raise not_found("experiment", key)
    return row


def view(row: Experiment, latest_run_id: UUID | None) -> ExperimentView:
    links = {"self": f"/v1/experiments/{row.id}", "runs": f"/v1/runs?experiment={row.id}"}
    if latest_run_id is not None:
        links["latest_run"] = f"/v1/runs/{latest_run_id}"
    return ExperimentView(
        id=row.id,
        name=row.name,
        spec=ExperimentSpec.model_validate(row.spec),
        created_at=row.created_at,
        latest_run_id=latest_run_id,
        next_scheduled_for=row.scheduled_next,
        scheduled_until=row.scheduled_until,
        links=links,
    )


def _name_taken(name: str) -> RefusedError:
    return RefusedError.at(ProblemCode.NAME_TAKEN, "/name", f"there is an experiment {name!r}")

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import new_id
from app.contracts.canonical import digest
from app.contracts.experiment import ExperimentSpec
from app.contracts.problems import ProblemCode
from app.contracts.states import RunTrigger
from app.contracts.views import ExperimentView, Page, RunView
from app.db.models import Experiment, WorkKind
from app.db.work import want
from app.experiments import repository
from app.experiments.checks import checked_plan
from app.problems import RefusedError, not_found
from app.requests.names import id_or_name
from app.requests.pages import PageRequest, page
from app.resources import Resources
from app.runs import service as runs

_LIST = "experiments"


async def create(
    session: AsyncSession, spec: ExperimentSpec, start: bool, resources: Resources, now: datetime
) -> ExperimentView:
    """The experiment, its first run if `start`, and the wishes for both. Raises RefusedError and PlanError."""
    if await repository.name_is_taken(session, spec.name):
        raise _name_taken(spec.name)
    await checked_plan(session, spec, resources)
    document = spec.model_dump(mode="json", by_alias=True)
    row = Experiment(id=new_id(), name=spec.name, spec=document, spec_sha256=digest(document), created_at=now)
    session.add(row)
    try:
        await session.flush()
    except IntegrityError:
        raise _name_taken(spec.name) from None
    await want(session, WorkKind.EXPERIMENT, row.id, now)
    run = await runs.start(session, row, RunTrigger.MANUAL, now) if start else None
    return _view(row, run.id if run else None)


async def start_run(session: AsyncSession, key: str, resources: Resources, now: datetime) -> RunView:
    """Another run of the experiment as it is specified. Raises RefusedError and PlanError."""
    row = await _locked(session, key)
    await checked_plan(session, ExperimentSpec.model_validate(row.spec), resources)
    return await runs.start(session, row, RunTrigger.MANUAL, now)


async def list_experiments(session: AsyncSession, request: PageRequest) -> Page[ExperimentView]:
    rows = await repository.newest(session, request.after_id(_LIST), request.limit + 1)
    return page(_LIST, request, rows, lambda row: row[0].id, [_view(row, latest) for row, latest in rows])


async def get(session: AsyncSession, key: str) -> ExperimentView:
    known = id_or_name(key)
    found = await repository.find(session, known) if known is not None else None
    if found is None:
        raise not_found("experiment", key)
    return _view(found[0], found[1])


async def delete(session: AsyncSession, key: str, now: datetime) -> None:
    """With its runs, trials and events. Raises RefusedError state_conflict while a run goes on."""
    row = await _locked(session, key)
    going = await runs.unfinished(session, row.id)
    if going is not None:
        text = f"The run {going} of {row.name!r} has not ended; cancel it first."
        raise RefusedError(ProblemCode.STATE_CONFLICT, text)
    await session.delete(row)
    await session.flush()
    await want(session, WorkKind.FORGET, row.id, now)


async def _locked(session: AsyncSession, key: str) -> Experiment:
    known = id_or_name(key)
    row = await repository.lock(session, known) if known is not None else None
    if row is None:
        raise not_found("experiment", key)
    return row


def _view(row: Experiment, latest_run_id: UUID | None) -> ExperimentView:
    links = {"self": f"/v1/experiments/{row.id}", "runs": f"/v1/runs?experiment={row.id}"}
    if latest_run_id is not None:
        links["latest_run"] = f"/v1/runs/{latest_run_id}"
    return ExperimentView(
        id=row.id,
        name=row.name,
        spec=ExperimentSpec.model_validate(row.spec),
        created_at=row.created_at,
        latest_run_id=latest_run_id,
        links=links,
    )


def _name_taken(name: str) -> RefusedError:
    return RefusedError.at(ProblemCode.NAME_TAKEN, "/name", f"there is an experiment {name!r}")

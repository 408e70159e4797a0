from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from app.auth.guard import Caller, Read, Write
from app.clock import now
from app.contracts.experiment import ExperimentSpec
from app.contracts.problems import ProblemCode
from app.contracts.run_request import RunRequest
from app.contracts.views import ExperimentView, Page, PlanView, RunView
from app.experiments import service
from app.experiments.checks import checked_plan
from app.problems import RefusedError
from app.requests.documented import problems
from app.requests.idempotency import Answer, IdempotencyKey, once
from app.requests.pages import Paging
from app.requests.sessions import Provided, ReadSession, WriteSession

router = APIRouter(prefix="/v1/experiments", tags=["experiments"])
_PLAN_PROBLEMS = (
    ProblemCode.INVALID_PARAMETER,
    ProblemCode.UNKNOWN_ALGORITHM,
    ProblemCode.UNKNOWN_DATASET,
    ProblemCode.GRID_TOO_LARGE,
    ProblemCode.NOTHING_FITS,
    ProblemCode.ISOLATION_NOT_AVAILABLE,
    ProblemCode.ISOLATION_CONFLICT,
    ProblemCode.NOTIFICATION_HOST_FORBIDDEN,
    ProblemCode.URGENT_CONFLICT,
    ProblemCode.STATE_CONFLICT,
    ProblemCode.IDEMPOTENCY_KEY_REUSED,
)


@router.post(
    "",
    operation_id="createExperiment",
    status_code=202,
    response_model=ExperimentView,
    dependencies=[Write],
    responses={
        200: {"model": PlanView, "description": "The plan of a dry run"},
        **problems(ProblemCode.NAME_TAKEN, ProblemCode.FORBIDDEN_KEY, *_PLAN_PROBLEMS, body=True),
    },
)
async def create_experiment(
    *,
    spec: ExperimentSpec,
    resources: Provided,
    session: WriteSession,
    caller: Caller,
    dry_run: Annotated[bool, Query(description="answer the plan, write nothing")] = False,
    start: Annotated[bool | None, Query(description="start a run now; by default unless there is a schedule")] = None,
    urgent: Annotated[bool, Query(description="the run goes before others; with a run to start only")] = False,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Accepted means committed: the experiment and its first run survive whatever happens next."""
    if dry_run:
        plan = await checked_plan(session, spec, resources)
        return JSONResponse(plan.model_dump(mode="json"))
    starts = spec.schedule is None if start is None else start
    if urgent and not starts:
        raise RefusedError.at(ProblemCode.URGENT_CONFLICT, "urgent", "no run is to be started")

    async def work() -> Answer:
        asked = RunRequest(urgent=urgent) if starts else None
        view = await service.create(session, spec, asked, resources, now())
        return Answer(202, view, view.links["self"])

    # Without the new word where it is not said: an answer that a version before has stored stays valid.
    request = ["createExperiment", starts, spec.model_dump(mode="json", by_alias=True), *(["urgent"] if urgent else [])]
    return await once(session, idempotency_key, caller.name, request, work)


@router.get("", operation_id="listExperiments", dependencies=[Read], responses=problems(ProblemCode.INVALID_PAGE_TOKEN))
async def list_experiments(paging: Paging, session: ReadSession) -> Page[ExperimentView]:
    return await service.list_experiments(session, paging)


@router.get(
    "/{experiment}", operation_id="getExperiment", dependencies=[Read], responses=problems(ProblemCode.NOT_FOUND)
)
async def get_experiment(experiment: str, session: ReadSession) -> ExperimentView:
    """By id or name."""
    return await service.get(session, experiment)


@router.delete(
    "/{experiment}",
    operation_id="deleteExperiment",
    status_code=204,
    dependencies=[Write],
    responses=problems(ProblemCode.NOT_FOUND, ProblemCode.STATE_CONFLICT, body=True),
)
async def delete_experiment(experiment: str, resources: Provided, session: WriteSession) -> None:
    """By id or name, with all its runs. Refused while one of them has not ended."""
    await service.delete(session, experiment, resources.settings, now())


@router.post(
    "/{experiment}/runs",
    operation_id="startRun",
    status_code=202,
    response_model=RunView,
    dependencies=[Write],
    responses={
        200: {"model": PlanView, "description": "The plan of a dry run"},
        **problems(ProblemCode.NOT_FOUND, ProblemCode.PREVIEW_NOT_AVAILABLE, *_PLAN_PROBLEMS, body=True),
    },
)
async def start_run(
    *,
    experiment: str,
    asked: RunRequest | None = None,
    resources: Provided,
    session: WriteSession,
    caller: Caller,
    dry_run: Annotated[bool, Query(description="answer the plan, write nothing")] = False,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Another run of the experiment, by its id or name: as it is specified, urgent, or a preview of it."""
    request = asked or RunRequest()
    if dry_run:
        plan = await service.plan_start(session, experiment, request, resources)
        return JSONResponse(plan.model_dump(mode="json"))

    async def work() -> Answer:
        view = await service.start_run(session, experiment, request, resources, now())
        return Answer(202, view, view.links["self"])

    said = ["startRun", experiment, *([asked.model_dump(mode="json")] if asked else [])]
    return await once(session, idempotency_key, caller.name, said, work)

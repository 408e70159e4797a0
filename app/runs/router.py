from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from app.auth.guard import Read, Write
from app.clock import now
from app.contracts.problems import ProblemCode
from app.contracts.states import RunState
from app.contracts.views import BatchView, EventView, Page, RunView, TrialView
from app.requests.documented import problems
from app.requests.pages import Paging
from app.requests.sessions import Provided, ReadSession, WriteSession
from app.runs import pins, service
from app.runs.schemas import LogsView

router = APIRouter(prefix="/v1", tags=["runs"])
_GONE = ProblemCode.NOT_FOUND
_TOKEN = ProblemCode.INVALID_PAGE_TOKEN


@router.get("/runs", operation_id="listRuns", dependencies=[Read], responses=problems(_GONE, _TOKEN))
async def list_runs(
    paging: Paging,
    session: ReadSession,
    experiment: Annotated[str | None, Query(description="id or name")] = None,
    state: Annotated[list[RunState], Query(description="repeat it for several")] = [],  # noqa: B006 - FastAPI copies it
) -> Page[RunView]:
    return await service.list_runs(session, paging, experiment, state)


@router.get("/runs/{run_id}", operation_id="getRun", dependencies=[Read], responses=problems(_GONE))
async def get_run(
    run_id: UUID,
    resources: Provided,
    wait: Annotated[
        float, Query(ge=0, le=30, allow_inf_nan=False, description="seconds to wait for a change or the end")
    ] = 0,
) -> RunView:
    return await service.wait(resources, run_id, wait)


@router.post(
    "/runs/{run_id}/cancel",
    operation_id="cancelRun",
    status_code=202,
    dependencies=[Write],
    responses=problems(_GONE, ProblemCode.STATE_CONFLICT, body=True),
)
async def cancel_run(run_id: UUID, session: WriteSession) -> RunView:
    """Workers stop within a heartbeat; what was measured by then is kept."""
    return await service.cancel(session, run_id, now())


@router.post("/runs/{run_id}/pin", operation_id="pinRun", dependencies=[Write], responses=problems(_GONE, body=True))
async def pin_run(run_id: UUID, session: WriteSession) -> RunView:
    """Retention leaves a pinned run alone: its rows, manifests and artifacts."""
    return await pins.set_pinned(session, run_id, True, now())


@router.post(
    "/runs/{run_id}/unpin", operation_id="unpinRun", dependencies=[Write], responses=problems(_GONE, body=True)
)
async def unpin_run(run_id: UUID, session: WriteSession) -> RunView:
    """From now on the run grows old as others do."""
    return await pins.set_pinned(session, run_id, False, now())


@router.get("/runs/{run_id}/trials", operation_id="listTrials", dependencies=[Read], responses=problems(_GONE, _TOKEN))
async def list_trials(run_id: UUID, paging: Paging, session: ReadSession) -> Page[TrialView]:
    """In the order of the plan."""
    return await service.list_trials(session, run_id, paging)


@router.get(
    "/runs/{run_id}/batches", operation_id="listBatches", dependencies=[Read], responses=problems(_GONE, _TOKEN)
)
async def list_batches(run_id: UUID, paging: Paging, session: ReadSession) -> Page[BatchView]:
    """In the order of the plan."""
    return await service.list_batches(session, run_id, paging)


@router.get("/runs/{run_id}/events", operation_id="listEvents", dependencies=[Read], responses=problems(_GONE, _TOKEN))
async def list_events(run_id: UUID, paging: Paging, session: ReadSession) -> Page[EventView]:
    """Newest first."""
    return await service.list_events(session, run_id, paging)


@router.get("/runs/{run_id}/logs", operation_id="getLogs", dependencies=[Read], responses=problems(_GONE))
async def get_logs(
    run_id: UUID, resources: Provided, limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000
) -> LogsView:
    return await service.logs(resources, run_id, limit)


@router.get("/trials/{trial_id}", operation_id="getTrial", dependencies=[Read], responses=problems(_GONE))
async def get_trial(trial_id: UUID, session: ReadSession) -> TrialView:
    return await service.get_trial(session, trial_id)

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from app.auth.guard import Read
from app.comparisons import results, service
from app.contracts.comparison import Comparison
from app.contracts.problems import ProblemCode
from app.requests.documented import problems
from app.requests.sessions import Provided

router = APIRouter(prefix="/v1/runs/{run_id}", tags=["comparisons"], dependencies=[Read])
_RESULTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One row per sample",
        "content": {
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
            "text/csv": {"schema": {"type": "string"}},
        },
    }
}


@router.get("/comparison", operation_id="getComparison", responses=problems(ProblemCode.NOT_FOUND))
async def get_comparison(run_id: UUID, resources: Provided) -> Comparison:
    """Same result? Which is faster, by how much? What memory? Of the trials as they are now."""
    return await service.comparison(resources, run_id)


@router.get(
    "/report",
    operation_id="getReport",
    response_class=HTMLResponse,
    responses=problems(ProblemCode.NOT_FOUND),
)
async def get_report(run_id: UUID, resources: Provided) -> Response:
    """The comparison as one self-contained page."""
    # The page is ours, but its texts are users': should one slip through, it must not run as this origin.
    headers = {"Content-Security-Policy": "sandbox allow-scripts allow-downloads", "X-Content-Type-Options": "nosniff"}
    return HTMLResponse(await service.report(resources, run_id), headers=headers)


@router.get(
    "/results",
    operation_id="getResults",
    response_class=StreamingResponse,
    responses={**_RESULTS, **problems(ProblemCode.NOT_FOUND)},
)
async def get_results(
    run_id: UUID, resources: Provided, format: Annotated[Literal["json", "csv"], Query()] = "json"
) -> Response:
    """Tidy: one row per sample, failures included."""
    await service.demand_run(resources, run_id)
    if format == "csv":
        name = {"Content-Disposition": f'attachment; filename="{run_id}.csv"'}
        return StreamingResponse(results.as_csv(resources, run_id), media_type="text/csv", headers=name)
    return StreamingResponse(results.as_json(resources, run_id), media_type="application/json")

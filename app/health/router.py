from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.health import service
from app.health.measures import Measures
from app.health.schemas import Liveness, Readiness, Version
from app.requests.documented import problems
from app.requests.sessions import Provided

router = APIRouter(tags=["health"])


@router.get("/livez", operation_id="getLiveness", responses=problems())
async def livez() -> Liveness:
    """The process answers. Touches nothing else: restarting us would not bring a database back."""
    return Liveness()


@router.get("/readyz", operation_id="getReadiness", responses=problems())
async def readyz(resources: Provided, verbose: bool = False) -> Readiness:
    return await service.readiness(resources, verbose)


@router.get("/version", operation_id="getVersion", responses=problems())
async def version() -> Version:
    return service.installed_version()


@router.get("/metrics", operation_id="getMetrics", response_class=PlainTextResponse, responses=problems())
async def metrics(request: Request) -> Response:
    measures: Measures = request.app.state.measures
    return Response(generate_latest(measures.registry), media_type=CONTENT_TYPE_LATEST)

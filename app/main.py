"""The two applications: the public API, and the internal one for flows, on a port of its own."""

from __future__ import annotations

from fastapi import APIRouter, Depends, FastAPI

from app import problems
from app.algorithms.router import router as algorithms
from app.auth.router import router as keys
from app.comparisons.router import router as comparisons
from app.datasets.internal import router as internal_datasets
from app.datasets.router import UPLOADS_PATH
from app.datasets.router import router as datasets
from app.experiments.router import router as experiments
from app.experiments.schedule_router import router as schedules
from app.health.measures import MeasureRequests, Measures
from app.health.router import router as health
from app.health.service import installed_version
from app.requests import documentation
from app.requests.bodies import StrictBodies
from app.requests.documented import describe
from app.requests.identity import RequestIdentity
from app.requests.queries import refuse_unknown
from app.resources import Resources
from app.runs.internal import router as internal_batches
from app.runs.router import router as runs

# A report carries the manifests of a whole batch, 100 rounds of each trial at most.
_INTERNAL_BODY_BYTES = 64 << 20


def create_app(resources: Resources) -> FastAPI:
    """The public API. Raises ValueError if authentication is on and there is no secret to check keys with."""
    routers = (experiments, schedules, runs, comparisons, datasets, algorithms, keys, health)
    return _create("corepoint", resources, resources.settings.api.body_bytes, *routers)


def create_internal_app(resources: Resources) -> FastAPI:
    """/internal/v1: claims, heartbeats and reports of flows. Not for clients."""
    return _create("corepoint internal", resources, _INTERNAL_BODY_BYTES, internal_batches, internal_datasets, health)


def _create(title: str, resources: Resources, body_bytes: int, *routers: APIRouter) -> FastAPI:
    api = resources.settings.api
    if api.authentication and api.key_secret is None:
        raise ValueError("api.authentication needs api.key_secret (COREPOINT_API__KEY_SECRET)")
    app = FastAPI(
        title=title,
        version=installed_version().version,
        dependencies=[Depends(refuse_unknown)],
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.resources = resources
    app.state.measures = Measures()
    for router in routers:
        app.include_router(router)
    problems.install(app)
    describe(app)
    documentation.install(app)
    streamed = frozenset({UPLOADS_PATH})
    app.add_middleware(StrictBodies, limit=body_bytes, nesting=api.nesting, streamed=streamed)
    # Outermost last: what a middleware below refuses is measured and has its id, too.
    app.add_middleware(MeasureRequests, measures=app.state.measures)
    app.add_middleware(RequestIdentity)
    return app

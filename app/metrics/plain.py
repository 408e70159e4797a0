"""The plain port: Prometheus, probes, and the numbers of one queue as JSON for KEDA's metrics-api scaler."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from app.contracts.states import QueueName
from app.metrics.exposition import exposition, workers_wanted
from app.metrics.latest import Latest, UnreadableError
from app.settings import QueueSettings


def plain_app(
    latest: Latest, queues: Mapping[QueueName, QueueSettings], ready_workers: Callable[[], Mapping[str, int] | None]
) -> Starlette:
    """/metrics, /queues/{queue}, /livez, /readyz."""

    async def metrics(_: Request) -> Response:
        try:
            readings = await latest.get()
        except UnreadableError:
            readings = None
        return Response(exposition(readings, ready_workers(), queues), media_type=CONTENT_TYPE_LATEST)

    async def queue(request: Request) -> Response:
        name = request.path_params["queue"]
        try:
            readings = await latest.get()
        except UnreadableError as error:
            return JSONResponse({"queue": name, "error": str(error)}, status_code=503)
        found = {str(known): (known, reading) for known, reading in readings.queues.items()}
        if name not in found:
            known_names = ", ".join(found)
            return JSONResponse({"queue": name, "error": f"There is no such queue, but {known_names}."}, 404)
        known, reading = found[name]
        return JSONResponse(
            {
                "queue": name,
                "demand": reading.demand,
                "waiting": reading.waiting,
                "running": reading.running,
                "oldest_wait_seconds": reading.oldest_wait_seconds,
                "workers_wanted": workers_wanted(reading, queues.get(known)),
            }
        )

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(_: Request) -> Response:
        # Ready once the database was read, and from then on: pods that left their Service while it is away would take
        # the APIService down, and with it the discovery of the whole cluster. Values are a 503 meanwhile.
        if not latest.succeeded:
            try:
                await latest.get()
            except UnreadableError as error:
                return PlainTextResponse(str(error), status_code=503)
        return PlainTextResponse("ok")

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/queues/{queue}", queue),
            Route("/livez", livez),
            Route("/readyz", readyz),
        ]
    )

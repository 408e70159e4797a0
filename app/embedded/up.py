"""`corepoint up`: API, internal API and dispatcher in this process; Prefect, MLflow and a worker beside it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import structlog
import uvicorn
from fastapi import FastAPI

from app.db.engine import Database
from app.db.migrate import migrate
from app.dispatcher import reconcilers
from app.dispatcher.context import Context
from app.dispatcher.relay import Relay
from app.embedded.place import LOOPBACK, AlreadyRunningError, Place, Ports, free_ports, settings_for, taken
from app.embedded.services import keep_alive, mlflow_server, prefect_server, stop_all, worker
from app.gateways.mlflow import MlflowGateway
from app.gateways.objects import open_store
from app.gateways.prefect import PrefectGateway
from app.gateways.webhooks import WebhookGateway
from app.main import create_app, create_internal_app
from app.resources import Resources
from app.settings import Settings
from app.ui.report.render import render_report
from workers.algorithms.registry import catalogue

Say = Callable[[str], None]


def main(data_dir: Path, ports: Ports, any_ports: bool = False) -> int:
    """Run until SIGINT or SIGTERM; answers the exit code."""
    # Standard output is for data; what we have to say of ourselves goes elsewhere.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    place = Place(data_dir.resolve(), free_ports(ports) if any_ports else ports)
    try:
        with place.lock():
            busy = taken(place.ports)
            if busy:
                _say(f"ports in use: {', '.join(map(str, busy))}\nhint: choose others, e.g. corepoint up --port 9000")
                return 1
            return asyncio.run(_serve_until_signal(place))
    except AlreadyRunningError:
        _say(f"corepoint is already up in {place.root}\nhint: stop it first, or choose another --data-dir")
        return 1


async def _serve_until_signal(place: Place) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    serving = asyncio.create_task(_serve(place))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set():
        _say("stopping")
        serving.cancel()
    try:
        await serving
    except asyncio.CancelledError:
        return 0
    except (RuntimeError, TimeoutError, httpx.HTTPError) as error:
        _say(f"corepoint did not start: {error}\nhint: the logs are in {place.root / 'logs'}")
    return 1


async def _serve(place: Place) -> None:
    async with running(place, _say):
        _say(f"corepoint is up: {place.server_url}/docs  (Prefect {place.prefect_url}, MLflow {place.mlflow_url})")
        await asyncio.Event().wait()


@asynccontextmanager
async def running(place: Place, say: Say) -> AsyncIterator[Settings]:
    """A complete corepoint for as long as the context lasts. Raises if a part does not start."""
    settings = settings_for(place)
    # The MLflow client reads its limits from the environment only.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(int(settings.mlflow.timeout_seconds)))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    async with AsyncExitStack() as stack:
        services = [prefect_server(place), mlflow_server(place)]
        stack.push_async_callback(stop_all, services)
        for service in services:
            service.start()
        context = await stack.enter_async_context(_control_plane(place, settings))
        say("control plane ready, waiting for Prefect")
        await services[0].ready()
        await context.prefect.ensure_pool()
        await stack.enter_async_context(_in_background(Relay(context).run(), reconcilers.run(context)))
        processes = worker(place, settings)
        stack.push_async_callback(processes.stop)
        processes.start()
        await services[1].ready()
        place.announce()
        await stack.enter_async_context(_in_background(*(keep_alive(service) for service in [*services, processes])))
        yield settings


@asynccontextmanager
async def _control_plane(place: Place, settings: Settings) -> AsyncIterator[Context]:
    database = Database(settings.database)
    prefect = PrefectGateway(settings.prefect)
    webhooks = WebhookGateway(settings.notifications)
    try:
        await migrate(database.engine)
        objects = open_store(settings.objects)
        resources = Resources(
            settings=settings,
            database=database,
            objects=objects,
            catalogue=catalogue(),
            logs=prefect,
            render_report=render_report,
        )
        context = Context(
            settings=settings,
            database=database,
            objects=objects,
            prefect=prefect,
            mlflow=MlflowGateway(settings.mlflow.tracking_uri) if settings.mlflow.tracking_uri else None,
            webhooks=webhooks,
            catalogue=resources.catalogue,
        )
        async with (
            _served(create_app(resources), place.ports.public),
            _served(create_internal_app(resources), place.ports.internal),
        ):
            yield context
    finally:
        await prefect.aclose()
        await webhooks.aclose()
        await database.close()


@asynccontextmanager
async def _served(application: FastAPI, port: int) -> AsyncIterator[None]:
    config = uvicorn.Config(application, host=LOOPBACK, port=port, log_level="warning", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server._serve())
    try:
        while not server.started:
            if serving.done():
                serving.result()
                raise RuntimeError(f"the API did not start on port {port}")
            await asyncio.sleep(0.02)
        yield
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def _in_background(*loops: object) -> AsyncIterator[None]:
    running_loops = [asyncio.ensure_future(loop) for loop in loops]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for one in running_loops:
            one.cancel()
        await asyncio.gather(*running_loops, return_exceptions=True)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()

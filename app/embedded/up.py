"""`corepoint up`: API, internal API and dispatcher in this process; Prefect, MLflow and a worker beside it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import structlog

from app.db.engine import Database
from app.db.migrate import migrate
from app.dispatcher import reconcilers
from app.dispatcher.context import Context
from app.dispatcher.pulse import Pulse
from app.dispatcher.relay import Relay
from app.embedded.place import LOOPBACK, AlreadyRunningError, Place, Ports, free_ports, settings_for, taken
from app.embedded.services import keep_alive, mlflow_server, prefect_server, stop_all, worker
from app.main import create_app, create_internal_app
from app.processes.composition import api_resources, dispatcher_context
from app.processes.serving import in_background, served
from app.runs.listening import listen
from app.settings import Settings

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
    async with AsyncExitStack() as stack:
        services = [prefect_server(place), mlflow_server(place)]
        stack.push_async_callback(stop_all, services)
        for service in services:
            service.start()
        context = await stack.enter_async_context(_control_plane(place, settings))
        say("control plane ready, waiting for Prefect")
        await services[0].ready()
        await context.prefect.ensure_pool()
        pulse = Pulse()
        await stack.enter_async_context(in_background(Relay(context, pulse).run(), reconcilers.run(context, pulse)))
        processes = worker(place, settings)
        stack.push_async_callback(processes.stop)
        processes.start()
        await services[1].ready()
        place.announce()
        await stack.enter_async_context(in_background(*(keep_alive(service) for service in [*services, processes])))
        yield settings


@asynccontextmanager
async def _control_plane(place: Place, settings: Settings) -> AsyncIterator[Context]:
    async with AsyncExitStack() as stack:
        database = Database(settings.database)
        stack.push_async_callback(database.close)
        await migrate(database.engine)
        resources = await stack.enter_async_context(api_resources(settings, database))
        context = await stack.enter_async_context(dispatcher_context(settings, database))
        await stack.enter_async_context(served(create_app(resources), LOOPBACK, place.ports.public))
        await stack.enter_async_context(served(create_internal_app(resources), LOOPBACK, place.ports.internal))
        await stack.enter_async_context(in_background(listen(database, settings.leases)))
        yield context


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()

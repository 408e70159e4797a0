"""The API: stateless, any number of replicas. Public and internal port are two applications over one database pool."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from app.db.engine import Database
from app.main import create_app, create_internal_app
from app.processes.composition import api_resources
from app.processes.serving import in_background, served
from app.runs.listening import listen
from app.settings import Settings


async def serve(settings: Settings) -> None:
    """Until cancelled."""
    listening = settings.serving
    database = Database(settings.database)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        resources = await stack.enter_async_context(api_resources(settings, database))
        for application, port in (
            (create_internal_app(resources), listening.internal_port),
            (create_app(resources), listening.public_port),
        ):
            await stack.enter_async_context(served(application, listening.host, port, listening.drain_seconds))
        await stack.enter_async_context(in_background(listen(database, settings.leases)))
        await asyncio.Event().wait()

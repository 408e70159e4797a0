"""The dispatcher: relay and reconcilers. Any number of replicas: every row it works on is leased."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from app.db.engine import Database
from app.dispatcher import reconcilers
from app.dispatcher.pulse import Pulse, pulse_app
from app.dispatcher.relay import Relay
from app.processes.composition import dispatcher_context
from app.processes.serving import in_background, served
from app.settings import Settings


async def serve(settings: Settings) -> None:
    """Until cancelled, or until one of its loops ends: that is a defect, and the pod starts again."""
    listening = settings.serving
    database = Database(settings.database)
    pulse = Pulse()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        context = await stack.enter_async_context(dispatcher_context(settings, database))
        await stack.enter_async_context(served(pulse_app(pulse), listening.host, listening.dispatcher_port))
        await stack.enter_async_context(in_background(database.listen()))
        async with asyncio.TaskGroup() as loops:
            loops.create_task(Relay(context, pulse).run())
            loops.create_task(reconcilers.run(context, pulse))

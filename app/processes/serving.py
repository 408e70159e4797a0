"""Applications on ports, loops beside them, and an orderly end on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

log = structlog.get_logger()


async def run_until_signal(process: Coroutine[Any, Any, None]) -> int:
    """Run `process` until SIGTERM or SIGINT (0) or until it ends by itself (1: nobody asked for that)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    running = asyncio.create_task(process)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        return 0
    return 1


@asynccontextmanager
async def served(application: ASGIApp, host: str, port: int, drain_seconds: float = 5.0) -> AsyncIterator[None]:
    """`application` answers on the port while the context lasts. Raises RuntimeError if it does not start."""
    config = uvicorn.Config(
        application, host=host, port=port, log_level="warning", timeout_graceful_shutdown=max(1, int(drain_seconds))
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server._serve())
    try:
        while not server.started:
            if serving.done():
                serving.result()
                raise RuntimeError(f"nothing could be served on port {port}")
            await asyncio.sleep(0.02)
        yield
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def in_background(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """The loops run while the context lasts."""
    running = [asyncio.ensure_future(loop) for loop in loops]
    try:
        yield
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)

"""What init containers wait for, so that a pod starts once instead of failing until the others are there."""

from __future__ import annotations

import asyncio
import time

import structlog

from app.db.engine import Database
from app.db.migrate import current, head, knows
from app.settings import Settings

log = structlog.get_logger()
_PAUSE_SECONDS = 1.0


async def for_revision(settings: Settings, seconds: float) -> int:
    """0 when the database is at this version's revision or a newer one (after a rollback); 1 after `seconds`."""
    deadline = time.monotonic() + seconds
    database = Database(settings.database)
    found: str | None = None
    try:
        log.info("waiting for the database", wanted=head())
        while time.monotonic() < deadline:
            found = await _revision(database)
            if found == head() or (found is not None and not knows(found)):
                return 0
            await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        await database.close()
    log.error("the database is not there, or not migrated", revision=found, wanted=head())
    return 1


async def for_port(host: str, port: int, seconds: float) -> int:
    """0 when something listens on host:port; 1 after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            async with asyncio.timeout(_PAUSE_SECONDS):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            writer.close()
            return 0
    log.error("nothing listens", host=host, port=port)
    return 1


async def _revision(database: Database) -> str | None:
    try:
        return await current(database.engine)
    except Exception as error:  # every driver has its own word for "not there yet"
        log.debug("the database does not answer", error=repr(error))
        return None

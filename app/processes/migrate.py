"""Brings an installation to what this version needs: tables, bucket, first API keys. Repeating it changes nothing."""

from __future__ import annotations

import asyncio

import structlog
from pydantic import SecretStr

from app.auth.schemas import KeySpec, Scope
from app.auth.service import adopt_key
from app.clock import now
from app.contracts.objects import StoreUnavailableError
from app.db.engine import Database
from app.db.migrate import current, knows, migrate
from app.gateways.objects import ensure_bucket
from app.settings import Settings

log = structlog.get_logger()
_TRIES = 60  # with the pause: ten minutes, in which a database and a store have been scheduled and started
_PAUSE_SECONDS = 10.0
_ROLES = {"admin": [Scope.READ, Scope.WRITE], "worker": [Scope.WORKER]}


async def main(settings: Settings) -> int:
    """Exit code: 0 when everything is there."""
    for attempt in range(1, _TRIES + 1):
        try:
            await _once(settings)
        except (OSError, StoreUnavailableError) as error:
            log.warning("not reachable yet", attempt=attempt, error=repr(error))
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            log.info("migrated")
            return 0
    return 1


async def _once(settings: Settings) -> None:
    database = Database(settings.database)
    try:
        revision = await current(database.engine)
        if revision is None or knows(revision):
            await migrate(database.engine)
        else:
            # After a rollback. Migrations only add, so that the version before can work with what is there.
            log.info("the database is newer than this version", revision=revision)
        await _write_keys(database, settings)
    finally:
        await database.close()
    await asyncio.to_thread(ensure_bucket, settings.objects)


async def _write_keys(database: Database, settings: Settings) -> None:
    keys: dict[str, SecretStr | None] = {
        "admin": settings.bootstrap.admin_key,
        "worker": settings.bootstrap.worker_key,
    }
    secret = settings.api.key_secret
    for name, key in keys.items():
        if key is not None and secret is not None:
            async with database.write() as session:
                await adopt_key(session, secret, KeySpec(name=name, scopes=_ROLES[name]), key, now())

"""Readiness: the database within a second. Anything else that is away only degrades."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from importlib.metadata import PackageNotFoundError, version
from uuid import UUID

from sqlalchemy import text

from app.contracts.objects import upload_key
from app.contracts.problems import ProblemCode
from app.db.migrate import head
from app.health.schemas import Check, Readiness, Version
from app.problems import RefusedError
from app.resources import Resources

_LIMIT_SECONDS = 1.0  # a probe that waits longer is counted as failed by the kubelet anyway
_NO_OBJECT = UUID(int=0)


async def readiness(resources: Resources, verbose: bool) -> Readiness:
    """Raises RefusedError unavailable if the database does not answer."""
    database = await _checked("database", _ask_database(resources))
    if not database.ok:
        raise RefusedError(ProblemCode.UNAVAILABLE, "The database did not answer within a second.")
    if not verbose:
        return Readiness(status="ready")
    objects = await _checked("objects", asyncio.to_thread(resources.objects.exists, upload_key(_NO_OBJECT)))
    return Readiness(status="ready" if objects.ok else "degraded", checks=[database, objects])


def installed_version() -> Version:
    try:
        found = version("corepoint")
    except PackageNotFoundError:
        found = "0+source"
    return Version(version=found, schema_revision=head())


async def _ask_database(resources: Resources) -> None:
    async with resources.database.read() as session:
        await session.execute(text("SELECT 1"))


async def _checked(name: str, asked: Awaitable[object]) -> Check:
    began = time.monotonic()
    try:
        await asyncio.wait_for(asked, _LIMIT_SECONDS)
    except Exception as error:
        return Check(name=name, ok=False, seconds=time.monotonic() - began, reason=type(error).__name__)
    return Check(name=name, ok=True, seconds=time.monotonic() - began)

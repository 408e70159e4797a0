"""Units of work as dependencies. The commit happens before the answer is sent: acknowledged means committed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.crash_points import CrashPoint, reached
from app.resources import Resources


def resources_of(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


async def write_session(request: Request) -> AsyncIterator[AsyncSession]:
    async with resources_of(request).database.write() as session:
        yield session
    reached(CrashPoint.API_COMMITTED)


async def read_session(request: Request) -> AsyncIterator[AsyncSession]:
    async with resources_of(request).database.read() as session:
        yield session


Provided = Annotated[Resources, Depends(resources_of)]
# scope="function": left when the handler returns, before a byte of the answer is out (the default is after).
WriteSession = Annotated[AsyncSession, Depends(write_session, scope="function")]
ReadSession = Annotated[AsyncSession, Depends(read_session, scope="function")]

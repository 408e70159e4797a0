"""Who may call an operation, as a dependency of its router or of itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.auth.schemas import Scope
from app.auth.service import LOCAL, Principal, authenticate, demand
from app.clock import now
from app.contracts.problems import ProblemCode
from app.problems import RefusedError
from app.requests.sessions import Provided

_BEARER = HTTPBearer(auto_error=False, scheme_name="api_key", description="an API key, `cp_…`")
Sent = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


async def principal(resources: Provided, sent: Sent) -> Principal:
    api = resources.settings.api
    if not api.authentication:
        return LOCAL
    if sent is None or api.key_secret is None:
        raise RefusedError(ProblemCode.UNAUTHENTICATED, "The API key is missing, unknown, expired or revoked.")
    async with resources.database.read() as session:
        return await authenticate(session, api.key_secret, sent.credentials, now())


Caller = Annotated[Principal, Depends(principal)]


def requires(scope: Scope) -> Any:
    return Depends(_demand(scope))


def _demand(scope: Scope) -> Callable[[Caller], Awaitable[None]]:
    async def check(caller: Caller) -> None:
        demand(caller, [scope])

    return check


Read = requires(Scope.READ)
Write = requires(Scope.WRITE)
Worker = requires(Scope.WORKER)

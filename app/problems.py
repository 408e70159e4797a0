"""Errors as application/problem+json (RFC 9457). Everything a client may see of an error is made here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError
from sqlalchemy.exc import InterfaceError as DatabaseInterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from app.contracts.problems import CATALOGUE, TYPE_BASE, Problem, ProblemCode, ProblemError
from app.domain.plan import PlanError
from app.health.measures import count_stale_write
from app.runs.guarded import Stale

MEDIA_TYPE: Final = "application/problem+json"
REQUEST_ID: Final = "corepoint_request_id"
RETRY_AFTER_SECONDS: Final = 2  # a restarted database is back sooner than a client that waits longer would notice
_MAX_ERRORS = 100
# Connection lost, resources used up, operator at work or statement cancelled, serialization or deadlock, read-only.
_UNAVAILABLE_SQLSTATES = ("08", "53", "57", "40", "25006")

_log = structlog.get_logger(__name__)


class RefusedError(Exception):
    """A request that gets a problem of the catalogue as its answer; the transaction is rolled back."""

    def __init__(
        self,
        code: ProblemCode,
        detail: str,
        errors: Sequence[ProblemError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    @classmethod
    def at(cls, code: ProblemCode, pointer: str, message: str) -> RefusedError:
        return cls(code, message, [ProblemError(pointer=pointer, message=message)])


def not_found(what: str, name: object) -> RefusedError:
    return RefusedError(ProblemCode.NOT_FOUND, f"There is no {what} {str(name)[:100]!r}.")


def problem_response(
    scope: Scope,
    code: ProblemCode,
    detail: str,
    errors: Sequence[ProblemError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    entry = CATALOGUE[code]
    problem = Problem(
        type=TYPE_BASE + code.value.replace("_", "-"),
        title=entry.title,
        status=entry.status,
        code=code,
        detail=detail,
        hint=entry.hint,
        instance=scope.get("path", ""),
        request_id=scope.get(REQUEST_ID, ""),
        errors=list(errors)[:_MAX_ERRORS],
    )
    sent = dict(headers or {})
    if entry.status == HTTPStatus.SERVICE_UNAVAILABLE:
        sent.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    if code is ProblemCode.STALE_ATTEMPT:
        count_stale_write(scope)
    if entry.status == HTTPStatus.UNAUTHORIZED:
        sent.setdefault("WWW-Authenticate", "Bearer")
    # ASCII: a path or value may hold what UTF-8 cannot.
    body = json.dumps(problem.model_dump(mode="python"), default=str)
    return Response(body, status_code=entry.status, headers=sent, media_type=MEDIA_TYPE)


def refused_response(scope: Scope, refused: RefusedError) -> Response:
    return problem_response(scope, refused.code, refused.detail, refused.errors, refused.headers)


def install(app: FastAPI) -> None:
    """Every exception that may leave a handler becomes a problem; what has no entry here is a defect (500)."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(PlanError, _plan)
    app.add_exception_handler(Stale, _stale)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(asyncpg.PostgresError, _connecting)
    for kind in (PoolTimeoutError, ConnectionError, TimeoutError):
        app.add_exception_handler(kind, _unavailable)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)  # noqa: S101 - registered for this class
    return refused_response(request.scope, error)


async def _plan(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlanError)  # noqa: S101
    return problem_response(request.scope, error.code, error.message, error.errors)


async def _stale(request: Request, error: Exception) -> Response:
    return problem_response(request.scope, ProblemCode.STALE_ATTEMPT, str(error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = {
        HTTPStatus.NOT_FOUND: ProblemCode.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED: ProblemCode.METHOD_NOT_ALLOWED,
        HTTPStatus.BAD_REQUEST: ProblemCode.INVALID_DOCUMENT,
    }.get(HTTPStatus(error.status_code), ProblemCode.INVALID_REQUEST)
    detail = {
        ProblemCode.NOT_FOUND: "There is nothing at this path.",
        ProblemCode.METHOD_NOT_ALLOWED: f"{request.method} is not possible here.",
    }.get(code, "The request cannot be read.")
    return problem_response(request.scope, code, detail, headers=error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    if any(one["loc"][0] == "path" for one in error.errors()):
        return problem_response(request.scope, ProblemCode.NOT_FOUND, "There is nothing with such an id.")
    errors = [ProblemError(pointer=pointer_to(one["loc"], error.body), message=_message(one)) for one in error.errors()]
    unique = list(dict.fromkeys(_identity(one) for one in errors))
    named = [ProblemError(pointer=pointer, message=message) for pointer, message in unique]
    detail = "; ".join(f"{one.pointer or 'the document'}: {one.message}" for one in named[:3])
    return problem_response(request.scope, ProblemCode.INVALID_REQUEST, detail, named)


def _identity(error: ProblemError) -> tuple[str, str]:
    return (error.pointer, error.message)


def pointer_to(location: Sequence[Any], body: Any) -> str:
    """The JSON pointer of pydantic's location, without what pydantic adds of its own (names of union members)."""
    origin, parts = location[0], list(location[1:])
    if origin != "body":
        return str(parts[0]) if parts else str(origin)
    steps: list[str] = []
    here = body
    for index, part in enumerate(parts):
        if part == "[key]":
            break
        last = index == len(parts) - 1
        if isinstance(here, Mapping) and isinstance(part, str) and (part in here or last):
            steps.append(part)
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            steps.append(str(part))
            here = here[part]
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def _message(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")[:500]


async def _database(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)  # noqa: S101
    state = str(getattr(error.orig, "sqlstate", None) or "")
    known = isinstance(error, OperationalError | DatabaseInterfaceError)
    # Without a state it is the driver that cannot use the connection any more, not PostgreSQL that has a defect.
    broken = isinstance(error, InternalError) and not state
    if known or broken or error.connection_invalidated or state.startswith(_UNAVAILABLE_SQLSTATES):
        return await _unavailable(request, error)
    raise error


async def _connecting(request: Request, error: Exception) -> Response:
    """What PostgreSQL says to a new connection comes as the driver's own: it is starting, or has no room."""
    if str(getattr(error, "sqlstate", None) or "").startswith(_UNAVAILABLE_SQLSTATES):
        return await _unavailable(request, error)
    raise error


async def _unavailable(request: Request, error: Exception) -> Response:
    _log.warning("unavailable", error=type(error).__name__, reason=str(error)[:500], path=request.url.path)
    text = "The database or the object store did not answer in time."
    return problem_response(request.scope, ProblemCode.UNAVAILABLE, text)

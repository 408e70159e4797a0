"""Idempotency-Key: the answer is stored in the transaction that did the work, so both exist or neither does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Header
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.clock import now
from app.contracts.canonical import digest
from app.contracts.problems import ProblemCode
from app.db.models import IdempotencyRecord
from app.problems import RefusedError

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="the same key and body get the same answer again, and nothing is done twice",
    ),
]


@dataclass(frozen=True)
class Answer:
    status: int
    body: BaseModel
    location: str


async def once(
    session: AsyncSession,
    key: str | None,
    principal: str,
    request: Any,
    work: Callable[[], Awaitable[Answer]],
) -> Response:
    """Do `work` unless its answer to this key is known. `request`: the JSON values that make two requests equal.

    `work` must flush what it adds. Losing a race against the same key gives the winner's answer; any other unique
    violation is raised as it is.
    """
    if key is None:
        return _response(_stored(await work()))
    request_sha256 = digest(request)
    known = await session.get(IdempotencyRecord, (key, principal))
    if known is not None:
        return _replay(known, request_sha256)
    try:
        async with session.begin_nested():
            stored = _stored(await work())
            session.add(_record(key, principal, request_sha256, stored, now()))
            await session.flush()
    except (IntegrityError, RefusedError):
        # Whoever was first has committed by now, or his key would not have stood in our way.
        winner = await session.get(IdempotencyRecord, (key, principal), populate_existing=True)
        if winner is None:
            raise
        return _replay(winner, request_sha256)
    return _response(stored)


def _stored(answer: Answer) -> dict[str, Any]:
    # As text: JSONB would reorder keys, and the same answer is the same bytes.
    return {"status": answer.status, "text": answer.body.model_dump_json(by_alias=True), "location": answer.location}


def _record(key: str, principal: str, sha256: str, stored: dict[str, Any], at: datetime) -> IdempotencyRecord:
    return IdempotencyRecord(
        key=key, principal=principal, request_sha256=sha256, status=stored["status"], body=stored, created_at=at
    )


def _replay(record: IdempotencyRecord, request_sha256: str) -> Response:
    if record.request_sha256 != request_sha256:
        text = "This Idempotency-Key was sent with another body before."
        raise RefusedError(ProblemCode.IDEMPOTENCY_KEY_REUSED, text)
    response = _response(record.body)
    response.headers["Idempotent-Replay"] = "true"
    return response


def _response(stored: dict[str, Any]) -> Response:
    return Response(
        stored["text"],
        status_code=stored["status"],
        headers={"Location": stored["location"]},
        media_type="application/json",
    )

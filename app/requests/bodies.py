"""Bodies are bounded, and strict JSON, before any handler sees them. Uploads are left to their own handler."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.contracts.problems import ProblemCode
from app.problems import RefusedError, refused_response
from app.requests import strict_json

_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_SMALL_BYTES = 64 << 10  # parsed at once; larger ones would hold up every other request


class StrictBodies:
    def __init__(self, app: ASGIApp, limit: int, nesting: int, streamed: frozenset[str] = frozenset()) -> None:
        self.app = app
        self.limit = limit
        self.nesting = nesting
        self.streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _WITH_BODY or scope["path"] in self.streamed:
            await self.app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
            if body is None:
                return
            if body:
                await self._check(scope, body)
        except RefusedError as refused:
            await refused_response(scope, refused)(scope, receive, send)
            return
        await self.app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None if the client went away."""
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > self.limit:
            raise self._too_large()
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            size += len(part)
            if size > self.limit:
                raise self._too_large()
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    async def _check(self, scope: Scope, body: bytes) -> None:
        sent = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
        if sent != "application/json":
            text = f"The body is {sent[:100]!r}." if sent else "The body has no Content-Type."
            raise RefusedError(ProblemCode.UNSUPPORTED_MEDIA_TYPE, text)
        if len(body) <= _SMALL_BYTES:
            strict_json.check(body, self.nesting)
        else:
            await asyncio.to_thread(strict_json.check, body, self.nesting)

    def _too_large(self) -> RefusedError:
        return RefusedError(ProblemCode.BODY_TOO_LARGE, f"The body is larger than {self.limit} bytes.")


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed

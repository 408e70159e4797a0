"""Outermost: every request has an id, every answer carries it, and nothing leaves as a bare error."""

from __future__ import annotations

import re
import traceback

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.clock import new_id
from app.contracts.problems import ProblemCode
from app.problems import REQUEST_ID, problem_response

HEADER = "X-Request-ID"
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = structlog.get_logger(__name__)


class RequestIdentity:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(HEADER, "")
        request_id = sent if _ACCEPTED.fullmatch(sent) else str(new_id())
        scope[REQUEST_ID] = request_id
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_id)
            except Exception:
                # As text: a renderer that shows local variables would write keys and tokens into the log.
                _log.error("defect", method=scope["method"], path=scope["path"], traceback=traceback.format_exc())
                if started:
                    raise  # the server cuts the connection, so that half an answer cannot pass for a whole one
                text = "Something went wrong that should not; nothing was changed."
                await problem_response(scope, ProblemCode.INTERNAL, text)(scope, receive, send_with_id)

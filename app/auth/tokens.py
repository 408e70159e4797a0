"""Tokens of one attempt: given out by a claim, stored as sha256 (they are random, so no key is needed)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Annotated

from fastapi import Header

from app.contracts.problems import ProblemCode
from app.problems import RefusedError

AttemptToken = Annotated[
    str,
    Header(alias="X-Corepoint-Batch-Token", max_length=200, description="`token` of the claim, with or without Bearer"),
]


def new_token() -> tuple[str, str]:
    """The token, and what is stored of it."""
    token = secrets.token_urlsafe(32)
    return token, _sha256(token)


def check_token(sent: str, stored: str | None) -> None:
    """Raises RefusedError forbidden."""
    if not hmac.compare_digest(_sha256(sent.removeprefix("Bearer ")), stored or ""):
        raise RefusedError(ProblemCode.FORBIDDEN, "The token is not that of this attempt.")


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()

"""API keys: shown once, stored as a keyed hash, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth import repository
from app.auth.schemas import CreatedKey, KeySpec, KeyView, Scope
from app.clock import new_id
from app.contracts.problems import ProblemCode
from app.contracts.views import Page
from app.db.models import ApiKey
from app.problems import RefusedError, not_found
from app.requests.pages import PageRequest, page

_SECRET_BYTES = 32
_PREFIX_BYTES = 6
_SHAPE = re.compile(r"cp_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_LIST = "keys"


@dataclass(frozen=True)
class Principal:
    """Who sent the request. `name` is that of the key."""

    name: str
    scopes: frozenset[Scope]


LOCAL = Principal("local", frozenset(Scope))
"""Everybody, where authentication is off."""


async def create_key(session: AsyncSession, secret: SecretStr, spec: KeySpec, now: datetime) -> CreatedKey:
    """Raises RefusedError name_taken."""
    prefix = secrets.token_hex(_PREFIX_BYTES)
    key = f"cp_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    row = ApiKey(
        id=new_id(),
        name=spec.name,
        prefix=prefix,
        hmac_sha256=_hmac(secret, key),
        scopes=sorted({scope.value for scope in spec.scopes}),
        created_at=now,
        expires_at=spec.expires_at,
    )
    session.add(row)
    try:
        await session.flush()
    except IntegrityError:
        raise RefusedError.at(ProblemCode.NAME_TAKEN, "/name", f"there is a key {spec.name!r}") from None
    return CreatedKey(**_view(row).model_dump(), key=key)


async def adopt_key(session: AsyncSession, secret: SecretStr, spec: KeySpec, key: SecretStr, now: datetime) -> None:
    """The key of `spec` is this one: made elsewhere, by whoever installs us. Raises ValueError for another shape.

    A key of its name that is another one is replaced: its owner has rotated it.
    """
    shape = _SHAPE.fullmatch(key.get_secret_value())
    if shape is None:
        raise ValueError(f"the key {spec.name!r} has not the shape cp_<12 hex digits>_<43 characters>")
    row = await repository.by_name(session, spec.name)
    if row is None:
        row = ApiKey(id=new_id(), name=spec.name, created_at=now)
        session.add(row)
    row.prefix = shape.group(1)
    row.hmac_sha256 = _hmac(secret, key.get_secret_value())
    row.scopes = sorted({scope.value for scope in spec.scopes})
    row.revoked_at = None


async def list_keys(session: AsyncSession, request: PageRequest) -> Page[KeyView]:
    rows = await repository.newest(session, request.after_id(_LIST), request.limit + 1)
    return page(_LIST, request, rows, lambda row: row.id, [_view(row) for row in rows])


async def revoke_key(session: AsyncSession, key_id: UUID, now: datetime) -> None:
    """Revoking twice is revoking once. Raises RefusedError not_found."""
    row = await session.get(ApiKey, key_id)
    if row is None:
        raise not_found("key", key_id)
    row.revoked_at = row.revoked_at or now


async def authenticate(session: AsyncSession, secret: SecretStr, sent: str, now: datetime) -> Principal:
    """Raises RefusedError unauthenticated, with one text for every reason."""
    shape = _SHAPE.fullmatch(sent)
    row = await repository.by_prefix(session, shape.group(1)) if shape else None
    stored = row.hmac_sha256 if row else ""
    genuine = hmac.compare_digest(stored, _hmac(secret, sent))
    if row is None or not genuine or row.revoked_at is not None or _expired(row, now):
        raise RefusedError(ProblemCode.UNAUTHENTICATED, "The API key is missing, unknown, expired or revoked.")
    return Principal(row.name, frozenset(Scope(scope) for scope in row.scopes))


def demand(principal: Principal, scopes: Iterable[Scope]) -> None:
    missing = [scope.value for scope in scopes if scope not in principal.scopes]
    if missing:
        raise RefusedError(ProblemCode.FORBIDDEN, f"The API key lacks the scope {missing[0]!r}.")


def _expired(row: ApiKey, now: datetime) -> bool:
    return row.expires_at is not None and row.expires_at <= now


def _hmac(secret: SecretStr, key: str) -> str:
    return hmac.new(secret.get_secret_value().encode(), key.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _view(row: ApiKey) -> KeyView:
    return KeyView(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=[Scope(scope) for scope in row.scopes],
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )

"""Keyset pages. A token says where the page before ended; it is bound to its list and checked, not trusted."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Query

from app.contracts.problems import ProblemCode
from app.contracts.views import Page
from app.problems import RefusedError
from app.requests.sessions import Provided

_CHECK_BYTES = 6
Row = TypeVar("Row")
Item = TypeVar("Item")


@dataclass(frozen=True)
class PageRequest:
    limit: int
    token: str | None

    def after_id(self, of: str) -> UUID | None:
        """The id at which the page before ended. Raises RefusedError for a token of another list."""
        if self.token is None:
            return None
        try:
            return UUID(_read(self.token, of))
        except ValueError:
            raise _invalid() from None

    def after_position(self, of: str) -> int:
        """The position at which the page before ended; -1 for the first page."""
        if self.token is None:
            return -1
        try:
            return int(_read(self.token, of))
        except ValueError:
            raise _invalid() from None


def page_request(
    resources: Provided,
    limit: Annotated[
        int | None, Query(ge=1, description="items per page; a larger number than the server's limit means that limit")
    ] = None,
    page_token: Annotated[str | None, Query(max_length=500, description="`next_page_token` of the page before")] = None,
) -> PageRequest:
    api = resources.settings.api
    return PageRequest(limit=min(limit or api.page, api.page_limit), token=page_token)


Paging = Annotated[PageRequest, Depends(page_request)]


def page(
    of: str, request: PageRequest, rows: Sequence[Row], key: Callable[[Row], Any], items: Sequence[Item]
) -> Page[Item]:
    """`rows` are what a query with limit + 1 gave, `items` the views of the first `limit` of them."""
    more = len(rows) > request.limit
    token = _make(str(key(rows[request.limit - 1])), of) if more else None
    return Page[Item](items=list(items[: request.limit]), next_page_token=token)


def _make(last: str, of: str) -> str:
    return base64.urlsafe_b64encode(_check(last, of) + last.encode()).decode().rstrip("=")


def _read(token: str, of: str) -> str:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        last = raw[_CHECK_BYTES:].decode("ascii")
    except (binascii.Error, ValueError):
        raise _invalid() from None
    if raw[:_CHECK_BYTES] != _check(last, of):
        raise _invalid()
    return last


def _check(last: str, of: str) -> bytes:
    return hashlib.sha256(f"{of}:{last}".encode()).digest()[:_CHECK_BYTES]


def _invalid() -> RefusedError:
    return RefusedError(ProblemCode.INVALID_PAGE_TOKEN, "The page token is not one of this list.")

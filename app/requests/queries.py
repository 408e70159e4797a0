"""A query parameter that nobody reads is a typo: it is refused, not ignored."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant

from app.contracts.problems import ProblemCode, ProblemError
from app.problems import RefusedError


async def refuse_unknown(request: Request) -> None:
    known = set(_names(request.scope["route"].dependant))
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in known]
    if unknown:
        accepted = ", ".join(sorted(known)) or "none"
        message = f"no such query parameter; accepted: {accepted}"
        errors = [ProblemError(pointer=name[:100], message=message) for name in unknown]
        raise RefusedError(ProblemCode.INVALID_REQUEST, f"{unknown[0][:100]!r}: {message}", errors)


def _names(dependant: Dependant) -> Iterator[str]:
    for parameter in dependant.query_params:
        yield parameter.alias
    for dependency in dependant.dependencies:
        yield from _names(dependency)

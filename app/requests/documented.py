"""The problems an operation may answer, for its OpenAPI description."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.contracts.problems import CATALOGUE, Problem, ProblemCode
from app.problems import MEDIA_TYPE

_REF = "#/components/schemas/{model}"
_ALWAYS = (
    ProblemCode.INVALID_REQUEST,
    ProblemCode.UNAUTHENTICATED,
    ProblemCode.FORBIDDEN,
    ProblemCode.UNAVAILABLE,
    ProblemCode.INTERNAL,
)
_WITH_BODY = (ProblemCode.INVALID_DOCUMENT, ProblemCode.BODY_TOO_LARGE, ProblemCode.UNSUPPORTED_MEDIA_TYPE)


def problems(*codes: ProblemCode, body: bool = False) -> dict[int | str, dict[str, Any]]:
    """For `responses=`: these problems, and those that every operation (with a body) may answer."""
    by_status: dict[int | str, list[str]] = {}
    for code in (*codes, *_ALWAYS, *(_WITH_BODY if body else ())):
        by_status.setdefault(CATALOGUE[code].status, []).append(f"`{code.value}`: {CATALOGUE[code].title}")
    schema = {"$ref": _REF.format(model="Problem")}
    return {
        status: {"description": "; ".join(dict.fromkeys(lines)), "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, lines in by_status.items()
    }


def describe(app: FastAPI) -> None:
    """Add the schema that `problems` refers to."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schema = Problem.model_json_schema(ref_template=_REF, mode="serialization")
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(schema.pop("$defs", {}))
            schemas["Problem"] = schema
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]

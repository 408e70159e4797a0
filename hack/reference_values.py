"""docs/reference/values.md: every value of the chart, as values.yaml describes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chart_values import COMPONENTS, chart_schema
from reference_markdown import code, table

_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "boolean", "array": "list"}
_LONG = 60


def values_page() -> str:
    schema = chart_schema()
    page = (
        "# Values of the chart\n\n`charts/corepoint/values.yaml` has the defaults; `values-laptop.yaml`, "
        "`values-team.yaml` and `values-external.yaml` are starting points. An unknown key is refused.\n\n"
        f"These sections also take every key of [`defaults`](#defaults): {', '.join(map(code, COMPONENTS))}. A queue "
        "takes them too, and those of [`workers`](#workers).\n\n"
    )
    plain: list[tuple[str, ...]] = []
    sections = ""
    for name, one in schema["properties"].items():
        if "default" in one:
            plain.append(_row(name, one))
            continue
        sections += f"## {name}\n\n{one['description']}\n\n" + _rows(name, one)
    return page + table(("key", "type", "default", "meaning"), plain) + sections


def _rows(path: str, schema: dict[str, Any]) -> str:
    return table(("key", "type", "default", "meaning"), _leaves(path, schema))


def _leaves(path: str, schema: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, one in schema["properties"].items():
        here = f"{path}.{name}"
        if "default" in one:
            yield _row(here, one)
        elif "properties" in one and (inner := list(_leaves(here, one))):
            yield (code(here), "", "", one["description"])
            yield from inner


def _row(path: str, schema: dict[str, Any]) -> tuple[str, ...]:
    return (code(path), _kind(schema), _default(schema["default"]), schema["description"])


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(map(code, schema["enum"]))
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return " or ".join(_TYPES.get(kind, "mapping") for kind in kinds)


def _default(value: object) -> str:
    if value in ("", [], {}):
        return "empty"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return code(text) if len(text) <= _LONG else "see values.yaml"

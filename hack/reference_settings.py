"""docs/reference/settings.md: every setting by its environment variable, with the reason that stands beside it."""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from collections.abc import Mapping, Set
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from reference_markdown import code, default, kind, sentence, table, written

from app.contracts.store import StoreConfig
from app.settings import Settings
from workers.settings import WorkerSettings


def settings_page() -> str:
    return (
        "# Settings\n\nRead from the environment when a process starts. Lists, sets and mappings are written as JSON. "
        "Where a default has a reason, it stands beside it.\n\n"
        "## Control plane\n\nAPI and dispatcher. An unknown name in a known section is refused.\n\n"
        f"{_sections(Settings)}## Workers\n\nAnd the object store's, as above.\n\n"
        f"{_sections(WorkerSettings, leave_out={StoreConfig})}"
    )


def _sections(model: type[BaseModel], prefix: str = "COREPOINT_", leave_out: Set[type[BaseModel]] = frozenset()) -> str:
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    own, sections = [], ""
    for name, field in model.model_fields.items():
        if field.annotation in leave_out:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            doc = sentence(field.annotation.__doc__ or "") if "__doc__" in vars(field.annotation) else ""
            sections += f"### {prefix}{name.upper()}\n\n{doc}\n\n" + _sections(
                field.annotation, f"{prefix}{name.upper()}__"
            )
        else:
            one = schema["properties"][name]
            reason = comments(model).get(name, "")
            own.append(
                (
                    code(prefix + name.upper()),
                    _setting_kind(one, definitions),
                    default(name, one, schema.get("required", [])),
                    reason,
                )
            )
    # A group's own values come before its sections, or they would read as part of the last one.
    page = table(("variable", "type", "default", "reason"), own) if own else ""
    return page + _mappings(model, prefix) + sections


def _setting_kind(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if schema.get("type") == "object":
        return "JSON"
    spoken = kind(schema, definitions)
    return f"JSON {spoken}" if schema.get("type") == "array" else spoken


def _mappings(model: type[BaseModel], prefix: str) -> str:
    """Settings that map names to sections, with each name's defaults."""
    page = ""
    for name, field in model.model_fields.items():
        held = get_args(field.annotation)
        if get_origin(field.annotation) is dict and isinstance(held[1], type) and issubclass(held[1], BaseModel):
            page += f"`{prefix}{name.upper()}`: {sentence(held[1].__doc__ or '')} What is set replaces all of them:\n\n"
            page += table(
                ("name", *held[1].model_fields),
                (
                    (code(str(key)), *(code(written(one, at)) for at, one in section))
                    for key, section in field.default.items()
                ),
            )
    return page


@cache
def comments(model: type[BaseModel]) -> dict[str, str]:
    """The comment beside each field in the source, or on the lines above it."""
    source = inspect.getsource(model)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    by_line = {
        t.start[0]: (t.string.lstrip("# "), t.line.lstrip().startswith("#"))
        for t in tokens
        if t.type == tokenize.COMMENT
    }
    found: dict[str, str] = {}
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    for statement in body.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        said = [
            by_line[line][0]
            for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
            if line in by_line
        ]
        above = statement.lineno - 1
        while above in by_line and by_line[above][1]:
            said.insert(0, by_line[above][0])
            above -= 1
        found[statement.target.id] = " ".join(said)
    return found

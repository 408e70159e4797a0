"""Markdown tables, and JSON Schema said in words."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ByteSize

_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "boolean"}
_FORMATS = {"uuid": "UUID", "path": "path", "uri": "URL", "password": "secret"}
_PATTERNS = {
    r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$": "lower-case letters, digits, hyphens inside",
    r"^[^\x00]*$": "no NUL",
    ByteSize.byte_string_pattern: "",
}
_BOUNDS = {
    "minimum": "≥ {:,}",
    "exclusiveMinimum": "> {:,}",
    "gt": "> {:,}",
    "maximum": "≤ {:,}",
    "exclusiveMaximum": "< {:,}",
}


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table without the columns that no row fills."""
    cells = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in row] for row in rows]
    kept = [column for column in range(len(heads)) if any(row[column] for row in cells)]
    lines = [[heads[column] for column in kept], ["---"] * len(kept), *([row[c] for c in kept] for row in cells)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def code(value: object) -> str:
    return f"`{value}`"


def either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def sentence(text: str) -> str:
    """`text` as a paragraph: its lines joined, ended by a full stop."""
    joined = " ".join(text.split())
    return joined if not joined or joined.endswith((".", "?", "!")) else f"{joined}."


def branches(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The alternatives of a schema, null left out; itself if it has none."""
    found = schema.get("anyOf") or schema.get("oneOf")
    if found is None:
        return [schema]
    return [branch for one in found if one.get("type") != "null" for branch in branches(one)]


def kind(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """What a value may be, in words; models link to their own table."""
    alternatives = branches(schema)
    lists = [one for one in alternatives if one.get("type") == "array" and "items" in one]
    if len(alternatives) > 1 and lists == alternatives[-1:] and branches(lists[0]["items"]) == alternatives[:-1]:
        return f"{kind({'anyOf': alternatives[:-1]}, definitions)}, or a list of these"
    if any(one.get("pattern") == ByteSize.byte_string_pattern for one in alternatives):
        return "bytes, as a number or like `4GiB`"
    spoken = list(dict.fromkeys(_one_kind(one, definitions) for one in alternatives))
    return either([word for word in spoken if not (word == "whole number" and "number" in spoken)])


def _one_kind(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        found = definitions[name]
        return _one_kind(found, definitions) if "enum" in found else f"[{name}](#{name.lower()})"
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return either(list(map(code, schema["enum"])))
    return _held(schema, definitions) or _FORMATS.get(schema.get("format", "")) or _TYPES.get(schema["type"], "mapping")


def _held(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A list or a mapping by what it holds; empty for anything else."""
    match schema["type"]:
        case "array" if "prefixItems" in schema:
            return f"[{', '.join(kind(one, definitions) for one in schema['prefixItems'])}]"
        case "array":
            return f"list of {kind(schema['items'], definitions)}"
        case "object":
            values = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), {})
            return f"mapping of names to {kind(values, definitions)}" if isinstance(values, dict) and values else ""
    return ""


def bounds(schema: Mapping[str, Any]) -> str:
    """The limits of a value and of what it holds."""
    found = dict.fromkeys(bound for bound in _bounds(schema) if bound)
    return ", ".join(bound for bound in found if bound != "≥ 0" or "> 0" not in found)


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    yield from (text.format(schema[name]) for name, text in _BOUNDS.items() if name in schema)
    if "prefixItems" not in schema:
        yield _span(schema.get("minItems"), schema.get("maxItems"), "items")
    yield _span(schema.get("minProperties"), schema.get("maxProperties"), "entries")
    yield _span(schema.get("minLength"), schema.get("maxLength"), "characters")
    if pattern := schema.get("pattern"):
        yield _PATTERNS.get(pattern, code(pattern))
    if "prefixItems" not in schema and "items" in schema:
        yield from (f"each {found}" for found in _bounds(schema["items"]) if found)
    for one in (*schema.get("anyOf", []), *schema.get("oneOf", [])):
        yield from _bounds(one)


def _span(low: int | None, high: int | None, unit: str) -> str:
    if low and high:
        return f"{low:,} to {high:,} {unit}"
    return (
        f"at most {high:,} {unit}" if high else "not empty" if low == 1 else f"at least {low:,} {unit}" if low else ""
    )


def default(name: str, schema: Mapping[str, Any], required: Sequence[str]) -> str:
    """The default as it would be written; `required` where there is none."""
    if name in required:
        return "required"
    value = schema.get("default", {} if schema.get("type") == "object" else None)
    if any(one.get("format") == "password" for one in branches(schema)):
        return "none" if value is None else "not shown"
    if isinstance(value, dict):
        return "all defaults" if value else "empty"
    if value is None or value in ([], ""):
        return "none" if value is None else "empty"
    return code(written(value, name))


def written(value: object, name: str = "") -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, (int, float)):
        size = f" ({ByteSize(value).human_readable(separator=' ')})" if name.endswith("bytes") else ""
        return f"{value:g}{size}" if isinstance(value, float) else f"{value}{size}"
    return str(value).replace(tempfile.gettempdir(), "(temporary folder)")


def fields(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """One row per property."""
    return table(
        ("field", "type", "default", "bounds", "meaning"),
        (
            (code(name), kind(one, definitions), default(name, one, schema.get("required", [])), bounds(one),
             one.get("description", ""))
            for name, one in schema.get("properties", {}).items()
        ),
    )  # fmt: skip


def references(schema: object) -> Iterator[str]:
    """Names of the models that a schema refers to, in the order it does."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rsplit("/", 1)[-1]
        for key, value in schema.items():
            yield from references(value) if key not in {"$defs", "discriminator"} else ()
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def document(model: type[BaseModel]) -> str:
    """A table of the model, and of every model it is made of."""
    root = model.model_json_schema(by_alias=True)
    definitions = root.get("$defs", {})
    waiting, seen = [model.__name__], {model.__name__: root}
    page = ""
    while waiting:
        name = waiting.pop(0)
        page += f"## {name}\n\n{sentence(seen[name].get('description', ''))}\n\n{fields(seen[name], definitions)}"
        for found in references(seen[name]):
            if found not in seen and "enum" not in definitions[found]:
                seen[found] = definitions[found]
                waiting.append(found)
    return page

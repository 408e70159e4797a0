"""The values schema is closed and complete, and says what is wrong by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, RefusedError, manifest

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
EVERYTHING: dict[str, Any] = yaml.safe_load((CHART / "ci/everything-values.yaml").read_text())


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        found: Any = SCHEMA
        for key in schema["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        # What stands beside a reference describes this place, what it refers to the shape.
        schema = {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def places(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every place a value may be, with its schema; `*` stands for a key or an index that is free."""
    schema = resolved(schema)
    yield path, schema
    for name, entry in schema.get("properties", {}).items():
        yield from places(entry, (*path, name))
    for keyword in ("additionalProperties", "items"):
        if isinstance(schema.get(keyword), dict):
            yield from places(schema[keyword], (*path, "*"))


PLACES = dict(places(SCHEMA))


def keys(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in values.items() if isinstance(values, dict) else ():
        yield (*path, name)
        # Below a map with free keys are a user's names, not ours.
        if "properties" in PLACES.get((*path, name), {}):
            yield from keys(value, (*path, name))


def test_every_default_is_in_the_schema_with_a_description() -> None:
    missing = [".".join(path) for path in keys(DEFAULTS) if not PLACES.get(path, {}).get("description")]
    assert missing == []


def test_every_value_of_the_schema_has_a_default() -> None:
    known = set(keys(DEFAULTS))
    missing = [path for path in PLACES if path and "*" not in path and not {path, *inherited(path)} & known]
    assert [".".join(path) for path in missing] == []


def inherited(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Where a component's value comes from if it says nothing: `workers` for a queue, `defaults` for all."""
    match path:
        case ("workers", "queues", _, *rest):
            yield ("workers", *rest)
            yield ("defaults", *rest)
        case (_, *rest):
            yield ("defaults", *rest)


# Helm gives a subchart its parent's `global`, with whatever is in it.
OPEN = {("global",)}


def test_every_object_of_the_schema_is_closed() -> None:
    """Maps whose keys are the user's (annotations, resources) say what their values are."""
    described = {path for path, schema in PLACES.items() if "properties" in schema}
    assert {path for path in described if PLACES[path].get("additionalProperties") is not False} == OPEN
    typed = {"type", "enum", "oneOf", "anyOf"}
    assert [".".join(path) for path, schema in PLACES.items() if not typed & set(schema)] == []


def test_everything_sets_every_value() -> None:
    given = set(keys(EVERYTHING))
    assert [".".join(path) for path in keys(DEFAULTS) if path not in given] == []


# One rendering each: what a user is likely to get wrong, and the word that helm's message has to hold.
@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("replicaz=1", "replicaz"),
        ("api.replicaz=1", "replicaz"),
        ("workers.queues.default.limits=1", "limits"),
        ("autoscaling.source=guess", "autoscaling"),
        ("api.replicas=many", "replicas"),
        ("networkPolicy.enabled=perhaps", "enabled"),
    ],
)
@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_a_wrong_value_is_refused_by_name(helm: str, setting: str, named: str) -> None:
    with pytest.raises(RefusedError, match=named):
        manifest("defaults", f"--set={setting}", helm=helm)

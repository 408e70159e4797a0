"""Documents that people write: YAML 1.2 or JSON, several to a file, read safely and checked before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from app.cli.exits import CommandError
from app.contracts.dataset import DatasetSpec
from app.contracts.experiment import ExperimentSpec

MAX_NODES = 200_000
"""Values in one file, aliases expanded: a short file of nested aliases must not grow into gigabytes."""
_KINDS: dict[str, type[DatasetSpec] | type[ExperimentSpec]] = {"Dataset": DatasetSpec, "Experiment": ExperimentSpec}
_HINTS = "Documents have `kind: Dataset` or `kind: Experiment`; see docs/examples."


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema: `on` and `no` are text, `1e-3` is a number, dates stay text, no key twice."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, "keys must be text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node)
    return float(text.replace(".inf", "inf").replace(".nan", "nan").replace(".Inf", "inf").replace(".NaN", "nan"))


_CORE_SCHEMA = (
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf)|\.(?:nan|NaN))$",
        "-+.0123456789",
    ),
)
for _tag, _pattern, _first in _CORE_SCHEMA:
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


@dataclass(frozen=True)
class Loaded:
    """One valid document and where it began, for messages."""

    place: str
    spec: DatasetSpec | ExperimentSpec


def load(text: str, name: str) -> list[Loaded]:
    """All documents of a file. Raises CommandError that names every wrong place with its line."""
    documents = [(value, node) for value, node in _parse(text, name) if value is not None]
    if not documents:
        raise CommandError(f"{name} holds no document", _HINTS)
    loaded: list[Loaded] = []
    wrong: list[tuple[str, str]] = []
    for number, (value, node) in enumerate(documents, start=1):
        place = name if len(documents) == 1 else f"{name} document {number}"
        model = _KINDS.get(str(value.get("kind"))) if isinstance(value, dict) else None
        if model is None:
            kind = f"kind {value.get('kind')!r}" if isinstance(value, dict) else "no mapping"
            raise CommandError(f"{place} is neither Dataset nor Experiment ({kind})", _HINTS)
        try:
            loaded.append(Loaded(place, model.model_validate(value)))
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                line = f" (line {_line(node, fault['loc'])})" if node is not None else ""
                said = "unknown key" if fault["type"] == "extra_forbidden" else fault["msg"]
                wrong.append((f"{place} {_pointer(fault['loc'])}{line}", said.removeprefix("Value error, ")))
    if wrong:
        raise CommandError(f"{name} is not valid", places=wrong)
    names = [(document.spec.kind, document.spec.name) for document in loaded]
    for kind, taken in names:
        if names.count((kind, taken)) > 1:
            raise CommandError(f"{name} holds two documents of kind {kind} named {taken!r}")
    return loaded


def _parse(text: str, name: str) -> list[tuple[Any, yaml.Node | None]]:
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return [(json.loads(text, object_pairs_hook=_unique), None)]
        except json.JSONDecodeError:
            pass  # YAML's flow style looks like JSON and is not
        except CommandError as error:
            raise CommandError(f"{name}: {error.message}") from None
        except RecursionError as error:
            raise CommandError(f"{name} is nested too deeply") from error
    try:
        return list(_yaml_documents(text, name))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise CommandError(f"{name}{line}: {getattr(error, 'problem', None) or error}") from error
    except RecursionError as error:
        raise CommandError(f"{name} is nested too deeply") from error


def _yaml_documents(text: str, name: str) -> list[tuple[Any, yaml.Node | None]]:
    documents: list[tuple[Any, yaml.Node | None]] = []
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            if _weight(node, {}) > MAX_NODES:
                raise CommandError(f"{name} holds more than {MAX_NODES} values once its aliases are expanded")
            documents.append((loader.construct_document(node), node))
    finally:
        loader.dispose()
    return documents


def _weight(node: yaml.Node, known: dict[int, int]) -> int:
    """Values under `node`, an alias counted each time it is used. A node inside itself weighs too much."""
    if id(node) not in known:
        known[id(node)] = MAX_NODES + 1
        children = node.value if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_weight(child, known) for child in children)
    return known[id(node)]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise CommandError(f"key {key!r} is given twice")
        result[key] = value
    return result


def _pointer(location: tuple[int | str, ...]) -> str:
    return "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _line(node: yaml.Node, location: tuple[int | str, ...]) -> int:
    """The line of the deepest part of `location` that is written down; parts that pydantic adds are passed over."""
    for part in location:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == part), node)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
    return int(node.start_mark.line) + 1

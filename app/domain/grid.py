"""The parameter grid of each contender: counted before it is expanded, validated before it is multiplied out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, Final

from pydantic import ValidationError

from app.contracts.base import Scalar
from app.contracts.canonical import canonical_json
from app.contracts.experiment import MAX_TRIALS, AlgorithmEntry, ExperimentSpec
from app.contracts.problems import ProblemCode, ProblemError
from app.domain.catalogue import Algorithm, Catalogue
from app.domain.planned import PlanError

RESERVED_PREFIX: Final = "__prefect"
"""Prefect interprets such keys of a flow run's parameters: `__prefect_kind: jinja` would render a template."""

_MAX_ERRORS: Final = 100
_SHOWN_CHARACTERS: Final = 80
_MAX_INTEGER: Final = 2**63


@dataclass(frozen=True)
class Contender:
    """An entry of the experiment with the canonical parameters of each of its points, without duplicates."""

    label: str
    algorithm: Algorithm
    points: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class _Axis:
    name: str
    values: tuple[Scalar, ...]
    pointer: str


@dataclass(frozen=True)
class _Entry:
    index: int
    label: str
    algorithm: Algorithm
    axes: tuple[_Axis, ...]

    @property
    def size(self) -> int:
        return prod(len(axis.values) for axis in self.axes)


class _Findings:
    """Collects errors without repeating one; what a shared value breaks in ten algorithms is still one error."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], ProblemCode] = {}

    def add(self, code: ProblemCode, pointer: str, message: str) -> None:
        if len(self._found) < _MAX_ERRORS:
            self._found.setdefault((pointer, message), code)

    def raise_if_any(self) -> None:
        for (pointer, message), code in self._found.items():
            raise PlanError(code, pointer, message, self.errors)

    @property
    def errors(self) -> list[ProblemError]:
        return [ProblemError(pointer=pointer, message=message) for pointer, message in self._found]


def resolve(spec: ExperimentSpec, catalogue: Catalogue) -> list[Contender]:
    """Every contender with its points, in the order of the specification.

    Raises PlanError with all errors that can be named. A grid beyond MAX_TRIALS is refused by arithmetic alone.
    """
    refuse_reserved_keys(
        {
            "labels": spec.labels,
            "parameters": spec.parameters,
            "algorithms": [{"parameters": entry.parameters} for entry in spec.algorithms],
        }
    )
    findings = _Findings()
    entries = _entries(spec, catalogue, findings)
    _refuse_too_many(spec, entries, findings)
    for entry in entries:
        _validate_axes(entry, findings)
    findings.raise_if_any()
    contenders = [Contender(entry.label, entry.algorithm, _points(entry, findings)) for entry in entries]
    findings.raise_if_any()
    return contenders


def refuse_reserved_keys(document: Any) -> None:
    """Raises PlanError (forbidden_key) if a mapping anywhere in `document` has a key that Prefect would interpret."""
    findings = _Findings()
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        pointer, value = waiting.pop()
        if isinstance(value, Mapping):
            for key, inner in value.items():
                here = f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"
                if str(key).startswith(RESERVED_PREFIX):
                    findings.add(
                        ProblemCode.FORBIDDEN_KEY, here, f"keys that begin with {RESERVED_PREFIX} are reserved"
                    )
                waiting.append((here, inner))
        elif isinstance(value, list | tuple):
            waiting.extend((f"{pointer}/{i}", inner) for i, inner in enumerate(value) if not isinstance(inner, Scalar))
    findings.raise_if_any()


def _entries(spec: ExperimentSpec, catalogue: Catalogue, findings: _Findings) -> list[_Entry]:
    known: dict[int, frozenset[str]] = {}
    for index, entry in enumerate(spec.algorithms):
        algorithm = catalogue.get(entry.algorithm)
        if algorithm is None:
            pointer = f"/algorithms/{index}/algorithm"
            findings.add(ProblemCode.UNKNOWN_ALGORITHM, pointer, f"no algorithm is called {entry.algorithm!r}")
        else:
            known[index] = frozenset(algorithm.info.parameters_schema.get("properties", {}))
    if len(known) == len(spec.algorithms):
        for name in sorted(set(spec.parameters).difference(*known.values())):
            message = f"no algorithm of this experiment has a parameter {name!r}"
            findings.add(ProblemCode.INVALID_PARAMETER, f"/parameters/{name}", message)
    shared = {name: _Axis(name, _values(value), f"/parameters/{name}") for name, value in spec.parameters.items()}
    return [
        _Entry(
            index,
            spec.algorithms[index].label,
            catalogue[spec.algorithms[index].algorithm],
            _axes(index, spec.algorithms[index], names, shared, findings),
        )
        for index, names in known.items()
    ]


def _axes(
    index: int, entry: AlgorithmEntry, names: frozenset[str], shared: Mapping[str, _Axis], findings: _Findings
) -> tuple[_Axis, ...]:
    axes = {name: axis for name, axis in shared.items() if name in names}
    for name, value in entry.parameters.items():
        pointer = f"/algorithms/{index}/parameters/{name}"
        if name in names:
            axes[name] = _Axis(name, _values(value), pointer)
        else:
            message = f"{entry.algorithm} has no parameter {name!r}; it has {', '.join(sorted(names)) or 'none'}"
            findings.add(ProblemCode.INVALID_PARAMETER, pointer, message)
    return tuple(axes[name] for name in sorted(axes))


def _values(value: Scalar | list[Scalar]) -> tuple[Scalar, ...]:
    # By type and value, because True == 1 == 1.0 while a boolean is not a number to an adapter.
    values = value if isinstance(value, list) else [value]
    return tuple(distinct for _, distinct in dict.fromkeys((type(one), one) for one in values))


def _refuse_too_many(spec: ExperimentSpec, entries: list[_Entry], findings: _Findings) -> None:
    count = sum(entry.size for entry in entries) * len(spec.datasets) * len(set(spec.sample_sizes))
    if count > MAX_TRIALS:
        pointer = "/parameters" if spec.parameters else "/algorithms"
        message = f"the grid has {count} trials, the limit is {MAX_TRIALS}"
        errors = [ProblemError(pointer=pointer, message=message), *findings.errors]
        raise PlanError(ProblemCode.GRID_TOO_LARGE, pointer, message, errors)


def _validate_axes(entry: _Entry, findings: _Findings) -> None:
    """One axis at a time with the others at their first value: the cost is the sum of the axes, not the product."""
    huge = False
    for axis in entry.axes:
        for value in axis.values:
            if isinstance(value, int) and abs(value) >= _MAX_INTEGER:
                findings.add(ProblemCode.INVALID_PARAMETER, axis.pointer, "an integer must fit into 64 bits")
                huge = True
    if huge:
        return
    first = {axis.name: axis.values[0] for axis in entry.axes}
    _canonical(entry, first, findings)
    for axis in entry.axes:
        for value in axis.values[1:]:
            _canonical(entry, {**first, axis.name: value}, findings)


def _points(entry: _Entry, findings: _Findings) -> tuple[dict[str, Any], ...]:
    names = [axis.name for axis in entry.axes]
    points: dict[str, dict[str, Any]] = {}
    for values in product(*(axis.values for axis in entry.axes)):
        canonical = _canonical(entry, dict(zip(names, values, strict=True)), findings)
        if canonical is not None:
            points.setdefault(canonical_json(canonical), canonical)
    return tuple(points.values())


def _canonical(entry: _Entry, values: dict[str, Any], findings: _Findings) -> dict[str, Any] | None:
    try:
        return entry.algorithm.canonical_parameters(values)
    except ValidationError as error:
        pointers = {axis.name: axis.pointer for axis in entry.axes}
        for found in error.errors(include_url=False, include_context=False):
            name = str(found["loc"][0]) if found["loc"] else ""
            pointer = pointers.get(name, f"/algorithms/{entry.index}/parameters" + (f"/{name}" if name else ""))
            given = f"{name} = {_shown(values[name])}: " if name in values else ""
            findings.add(ProblemCode.INVALID_PARAMETER, pointer, given + found["msg"])
        return None


def _shown(value: Scalar) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"

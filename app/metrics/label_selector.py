"""Kubernetes label selectors as an API server writes them: `queue=spark`, `queue in (a,b),tier!=x`, `!queue`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Labels = Mapping[str, str]
Selector = Callable[[Labels], bool]

_LONGEST = 2_000
_NAME = r"[A-Za-z0-9](?:[-\w./]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-\w.]*[A-Za-z0-9])?)?"
_REQUIREMENT = re.compile(
    rf"\s*(?:(?P<absent>!)\s*(?P<missing>{_NAME})"
    rf"|(?P<key>{_NAME})\s*(?:(?P<compared>==|=|!=)\s*(?P<value>{_VALUE})"
    rf"|\s(?P<listed>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|$)",
    re.ASCII,
)
_WHOLE_VALUE = re.compile(_VALUE, re.ASCII)


class SelectorError(ValueError):
    """It is no label selector."""


def parse(text: str) -> Selector:
    """What `text` selects; empty selects everything. Raises SelectorError."""
    if len(text) > _LONGEST:
        raise SelectorError(f"a selector has at most {_LONGEST} characters")
    if text.rstrip().endswith(","):
        raise SelectorError(f"{text!r} ends with a comma")
    requirements: list[Selector] = []
    at = 0
    while at < len(text):
        found = _REQUIREMENT.match(text, at)
        if found is None:
            raise SelectorError(f"{text[at:]!r} is no label selector")
        requirements.append(_requirement(found))
        at = found.end()
    return lambda labels: all(holds(labels) for holds in requirements)


def _requirement(found: re.Match[str]) -> Selector:
    if found["absent"]:
        missing = found["missing"]
        return lambda labels: missing not in labels
    key = found["key"]
    if found["compared"]:
        return _one_of(key, frozenset({found["value"]}), found["compared"] != "!=")
    if found["listed"]:
        return _one_of(key, _values(found["values"]), found["listed"] == "in")
    return lambda labels: key in labels


def _one_of(key: str, values: frozenset[str], wanted: bool) -> Selector:
    """As in Kubernetes, a label that is not there is none of the values."""
    return lambda labels: (key in labels and labels[key] in values) is wanted


def _values(text: str) -> frozenset[str]:
    values = [value.strip() for value in text.split(",")]
    for value in values:
        if _WHOLE_VALUE.fullmatch(value) is None:
            raise SelectorError(f"{value!r} is no label value")
    return frozenset(values)

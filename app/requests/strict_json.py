"""What a JSON body must be, beyond what json.loads takes: one meaning, storable, bounded."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from app.contracts.problems import ProblemCode
from app.problems import RefusedError

RESERVED_PREFIX = "__prefect"
_INT_LIMIT = 2**63
_INT_DIGITS = 19
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def check(body: bytes, nesting: int) -> None:
    """Raises RefusedError: invalid_document (400) with the place, or forbidden_key for keys that Prefect interprets."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(f"not UTF-8 at byte {error.start}") from None
    try:
        document = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except RecursionError:
        raise _too_deep(nesting) from None
    except json.JSONDecodeError as error:
        raise _unreadable(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    _check_values(document, nesting)


def _check_values(document: Any, nesting: int) -> None:
    open_values: list[tuple[str, int, Any]] = [("", 0, document)]
    while open_values:
        pointer, depth, value = open_values.pop()
        if isinstance(value, str):
            _check_text(value, pointer)
        elif isinstance(value, dict | list):
            if depth >= nesting:
                raise _too_deep(nesting)
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, member in items:
                place = f"{pointer}/{_escaped(str(key))}"
                if isinstance(key, str):
                    _check_text(key, pointer)
                    if key.startswith(RESERVED_PREFIX):
                        raise RefusedError.at(ProblemCode.FORBIDDEN_KEY, place, f"the key {key[:100]!r} is reserved")
                open_values.append((place, depth + 1, member))


def _check_text(text: str, pointer: str) -> None:
    if _UNSTORABLE.search(text):
        raise _unreadable(f"a NUL character or a lone surrogate at {pointer or 'the top'!r}")


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _unreadable(f"the key {ascii(key)[:100]} stands twice in one object")
            seen.add(key)
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise _unreadable(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _unreadable(f"the number {digits[:40]} is too large")
    return value


def _bounded(digits: str) -> int:
    if len(digits.lstrip("-")) > _INT_DIGITS or not -_INT_LIMIT <= int(digits) < _INT_LIMIT:
        raise _unreadable(f"the integer {digits[:40]} does not fit into 64 bits")
    return int(digits)


def _too_deep(nesting: int) -> RefusedError:
    return _unreadable(f"nested deeper than {nesting} levels")


def _unreadable(reason: str) -> RefusedError:
    return RefusedError(ProblemCode.INVALID_DOCUMENT, f"The body cannot be read: {reason}.")

"""Points with their column names, between loading and publishing."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workers.datasets.errors import refuse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHOWN = 20
# Comparing a name with ten thousand others takes seconds; a typo shows itself among the first.
_COMPARED = 500
# Beyond 2**53 a float64 no longer holds every integer.
_EXACT_INTEGERS = 2**53


@dataclass(frozen=True)
class Truth:
    """labels: int64 (n,), noise -1. missing: bool (n,) or None: rows whose true cluster is not known."""

    labels: NDArray[np.int64]
    missing: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Table:
    """points: float64 (n, d), C order, missing values as NaN. names: d column names."""

    points: NDArray[np.float64]
    names: list[str]
    truth: Truth | None = None
    warnings: list[str] = field(default_factory=list)


def positions(available: Sequence[str], wanted: Sequence[str], what: str = "column") -> list[int]:
    """Where each wanted name stands. Raises InvalidDataset for a name that is missing or asked for twice."""
    where = {name: position for position, name in enumerate(available)}
    if len(set(wanted)) != len(wanted):
        twice = next(name for name in wanted if list(wanted).count(name) > 1)
        refuse(f"{what} {twice!r} is asked for twice", "Name each column once.")
    for name in wanted:
        if name not in where:
            near = difflib.get_close_matches(name, available[:_COMPARED], n=1)
            shown = ", ".join(available[:_SHOWN]) + (", …" if len(available) > _SHOWN else "")
            refuse(
                f"{what} {name!r} is not among the {len(available)} columns of the data",
                f"Did you mean {near[0]!r}?" if near else f"The columns are: {shown}",
            )
    return [where[name] for name in wanted]


def check_cells(rows: int, columns: int, max_cells: int) -> None:
    if rows * columns > max_cells:
        refuse(
            f"{rows:,} rows of {columns:,} coordinates are {rows * columns:,} cells, above the limit of {max_cells:,}",
            "Use fewer rows, or name fewer `columns`.",
        )


def truth_from(values: NDArray[Any], missing: NDArray[np.bool_], name: str) -> Truth:
    """Integers stay as they are (noise -1); text becomes 0, 1, … in sorted order. Other types are refused."""
    import numpy as np

    known = values[~missing]
    labels = np.full(len(values), -1, dtype=np.int64)
    if values.dtype.kind in "iub":
        if values.dtype.kind == "u" and len(known) and int(known.max()) > np.iinfo(np.int64).max:
            refuse(f"truth column {name!r} holds {int(known.max())}, which is not an int64")
        labels[~missing] = known
    elif values.dtype.kind == "f":
        whole = np.isfinite(known) & (known == np.rint(known)) & (np.abs(known) <= _EXACT_INTEGERS)
        if not whole.all():
            refuse(
                f"truth column {name!r} holds {float(known[~whole][0])!r} and {int((~whole).sum()) - 1:,} more values "
                "that are not integers",
                "Truth is a cluster number per row (noise -1), or text.",
            )
        labels[~missing] = known.astype(np.int64)
    else:
        labels[~missing] = np.unique(known.astype(str), return_inverse=True)[1]
    return Truth(labels, missing if missing.any() else None)


def inexact_integers(values: NDArray[Any], name: str) -> str | None:
    """A warning when integers of a column lose digits as float64."""
    if values.dtype.kind not in "iu" or not len(values):
        return None
    largest = max(abs(int(values.max())), abs(int(values.min())))
    if largest <= _EXACT_INTEGERS:
        return None
    return f"column {name!r} holds integers up to {largest}, beyond 2^53: neighbouring values become equal as float64"

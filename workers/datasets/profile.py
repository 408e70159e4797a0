"""What a worker found in prepared points: figures per column, warnings, and the distance sketch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.contracts.dataset import ColumnProfile, Profile
from workers.datasets.clean import Counts
from workers.datasets.scale import Figures, figures
from workers.datasets.sketch import sketch
from workers.datasets.table import Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Squares leave float64 beyond these.
_SQUARE_OVERFLOWS = 1e150
_SQUARE_VANISHES = 1e-150
# At this ratio of spread to offset, a distance computed from squares has lost nine of its sixteen digits.
_OFFSET_RATIO = 1e-7
_NAMED = 10


def profile(table: Table, counts: Counts) -> Profile:
    """Of clean, scaled points. Deterministic."""
    seen = figures(table.points)
    constant = seen.minimum == seen.maximum
    return Profile(
        n=table.points.shape[0],
        d=table.points.shape[1],
        rows_read=counts.read,
        rows_missing=counts.missing,
        rows_infinite=counts.infinite,
        rows_outside_box=counts.outside_box,
        rows_dropped=counts.dropped,
        duplicates=counts.duplicates,
        columns=[
            ColumnProfile(
                name=name,
                minimum=seen.minimum[column],
                maximum=seen.maximum[column],
                mean=seen.mean[column],
                standard_deviation=seen.deviation[column],
                constant=bool(constant[column]),
            )
            for column, name in enumerate(table.names)
        ],
        has_truth=table.truth is not None,
        sketch=sketch(table.points),
        warnings=[*table.warnings, *_warnings(table, seen)],
    )


def _warnings(table: Table, seen: Figures) -> list[str]:
    import numpy as np

    if len(table.points) == 1:
        return ["there is one point only: it is noise or one cluster, and no timing says anything"]
    constant = seen.minimum == seen.maximum
    if constant.all():
        return [f"all {len(table.points):,} rows are equal: one cluster for every eps"]
    largest = np.maximum(np.abs(seen.minimum), np.abs(seen.maximum))
    extent = np.where(constant, np.inf, seen.maximum / 2 - seen.minimum / 2)
    with np.errstate(over="ignore"):
        offset = ~constant & (seen.deviation < _OFFSET_RATIO * largest)
    said = (
        (constant, "is constant: it changes no distance"),
        (largest > _SQUARE_OVERFLOWS, "holds values above 1e150, whose squared distances overflow float64: scale it"),
        (extent < _SQUARE_VANISHES, "spans less than 1e-150, where squared distances vanish in float64: scale it"),
        (offset, "varies by less than 1e-7 of its size, so distances lose digits: subtract its mean"),
    )
    return [warning for columns, text in said for warning in _named(table.names, columns, text)]


def _named(names: list[str], chosen: NDArray[np.bool_], text: str) -> list[str]:
    found = [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]
    more = [f"{len(found) - _NAMED} more columns: each {text}"] if len(found) > _NAMED else []
    return [f"column {name!r} {text}" for name in found[:_NAMED]] + more

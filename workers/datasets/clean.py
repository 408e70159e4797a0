"""Declared cleaning: missing values, bounding box, duplicates, in this order; everything dropped is counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.contracts.dataset import Cleaning
from workers.datasets.errors import refuse
from workers.datasets.table import Table, Truth, positions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Counts:
    """Rows. missing and infinite are counted in what was read, outside_box and duplicates in what was left by then.

    A row whose truth is missing counts as missing; `missing` and `infinite` may share rows.
    """

    read: int
    missing: int
    infinite: int
    outside_box: int
    duplicates: int
    dropped: int


def clean(table: Table, cleaning: Cleaning) -> tuple[Table, Counts]:
    """Finite points, in the order they came, with -0.0 as 0.0 (equal points get equal bytes). Raises InvalidDataset."""
    import numpy as np

    read = len(table.points)
    table, missing, infinite = _without_missing(table, cleaning.missing)
    outside = 0
    if cleaning.bounding_box and len(table.points):
        inside = np.ones(len(table.points), bool)
        where = positions(table.names, list(cleaning.bounding_box), "boundingBox column")
        for position, (low, high) in zip(where, cleaning.bounding_box.values(), strict=True):
            inside &= (table.points[:, position] >= low) & (table.points[:, position] <= high)
        outside = int((~inside).sum())
        table = _kept(table, inside)
    table = replace(table, points=table.points + 0.0)
    again = duplicated(table.points)
    duplicates = int(again.sum())
    if cleaning.duplicates == "drop":
        table = _kept(table, ~again)
    counts = Counts(read, missing, infinite, outside, duplicates, read - len(table.points))
    if not len(table.points):
        refuse(
            f"no row is left of {read:,}: {missing:,} missing, {infinite:,} infinite, {outside:,} outside the box",
            "Loosen `cleaning`.",
        )
    return table, counts


def duplicated(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """bool (n,): rows equal to an earlier row."""
    import numpy as np

    hashes = _row_hashes(points)
    order = np.argsort(hashes, kind="stable")
    near = hashes[order]
    same_hash = np.flatnonzero(near[1:] == near[:-1]) + 1
    equal = (points[order[same_hash]] == points[order[same_hash - 1]]).all(axis=1)
    if not equal.all():
        # Two rows share a hash: an accident of 2**-64, or somebody's plan. Slower, but exact.
        order = np.lexsort(points.T)
        same_hash = np.arange(1, len(points))
        equal = (points[order[1:]] == points[order[:-1]]).all(axis=1)
    # Both sorts are stable, so the first of a run of equal rows is the earliest.
    again = np.zeros(len(points), np.bool_)
    again[order[same_hash[equal]]] = True
    return again


def _row_hashes(points: NDArray[np.float64]) -> NDArray[np.uint64]:
    import numpy as np

    bits = np.ascontiguousarray(points).view(np.uint64)
    hashes = np.zeros(len(points), np.uint64)
    for column in range(bits.shape[1]):
        # The multiplier of splitmix64; the shift brings high bits, where doubles differ, down again.
        hashes = (hashes ^ bits[:, column]) * np.uint64(0xBF58476D1CE4E5B9)
        hashes ^= hashes >> np.uint64(31)
    return hashes


def _without_missing(table: Table, policy: str) -> tuple[Table, int, int]:
    import numpy as np

    missing = np.asarray(np.isnan(table.points).any(axis=1))
    infinite = np.asarray(np.isinf(table.points).any(axis=1))
    if table.truth is not None and table.truth.missing is not None:
        missing |= table.truth.missing
    bad = np.asarray(missing | infinite)
    if bad.any() and policy == "fail":
        refuse(
            f"{int(missing.sum()):,} of {len(table.points):,} rows have missing values and {int(infinite.sum()):,} "
            "infinite ones; "
            f"the first is row {int(bad.argmax()) + 1:,}",
            "Correct them, or write `cleaning: {missing: drop}`.",
            rows_missing=int(missing.sum()),
            rows_infinite=int(infinite.sum()),
            first_row=int(bad.argmax()) + 1,
        )
    return _kept(table, ~bad), int(missing.sum()), int(infinite.sum())


def _kept(table: Table, rows: NDArray[np.bool_]) -> Table:
    if rows.all():
        return table
    truth = table.truth
    if truth is not None:
        truth = Truth(truth.labels[rows], None if truth.missing is None else truth.missing[rows])
    return replace(table, points=table.points[rows], truth=truth)

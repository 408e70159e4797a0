"""What CSV and Parquet share once both are Arrow columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.datasets.table import Truth, truth_from

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def truth_values(column: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The values of an Arrow column (nulls as 0 or empty text) and the mask of what is missing."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):
        return np.zeros(len(column), np.int64), np.ones(len(column), bool)
    missing = column.is_null(nan_is_null=pa.types.is_floating(column.type)).to_numpy(zero_copy_only=False)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        column = column.cast(pa.string())
    values = column.fill_null("" if pa.types.is_string(column.type) else 0).to_numpy(zero_copy_only=False)
    return values, np.asarray(missing, bool)


def joined_truth(parts: list[tuple[NDArray[Any], NDArray[np.bool_]]], name: str | None) -> Truth | None:
    import numpy as np

    if name is None:
        return None
    return truth_from(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]), name)


def left_out_warning(names: list[str]) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return [f"{len(names)} columns that do not hold numbers are left out: {shown}"]

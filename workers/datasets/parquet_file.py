"""Reads Parquet: flat columns of numbers, streamed into one matrix whose size is known and checked before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.datasets.arrow_columns import joined_truth, left_out_warning, truth_values
from workers.datasets.errors import refuse
from workers.datasets.limits import PrepareLimits
from workers.datasets.table import Table, check_cells, inexact_integers, positions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH_ROWS = 65_536
# The footer is Thrift, read before anything can be checked: these bound what a forged one may allocate.
_THRIFT_STRING_BYTES = 64 << 20
_THRIFT_ITEMS = 1_000_000


def load_parquet(path: Path, columns: list[str] | None, truth: str | None, limits: PrepareLimits) -> Table:
    """Raises InvalidDataset, also for whatever the Parquet reader refuses."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(
            path,
            pre_buffer=False,
            thrift_string_size_limit=_THRIFT_STRING_BYTES,
            thrift_container_size_limit=_THRIFT_ITEMS,
        ) as file:
            return _read(file, columns, truth, limits)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        refuse(f"the Parquet file cannot be read: {str(error)[:300]}", "Write the file again.")


def _read(file: Any, columns: list[str] | None, truth: str | None, limits: PrepareLimits) -> Table:
    if file.metadata.num_columns > limits.max_columns:
        refuse(f"the file has {file.metadata.num_columns:,} columns, above the limit of {limits.max_columns:,}")
    schema = file.schema_arrow
    wanted = _wanted(schema, columns, truth)
    rows = file.metadata.num_rows
    if rows < 1:
        refuse("the Parquet file has no rows", "Send at least one row.")
    check_cells(rows, len(wanted), limits.max_cells)
    left_out = [name for name in schema.names if columns is None and name not in {*wanted, truth}]
    return _filled(file, rows, wanted, truth, left_out_warning(left_out))


def _wanted(schema: Any, columns: list[str] | None, truth: str | None) -> list[str]:
    import pyarrow as pa

    if len(set(schema.names)) != len(schema.names):
        refuse("two columns of the Parquet file have one name", "Give every column a name of its own.")
    wanted = columns or [field.name for field in schema if _is_number(field.type) and field.name != truth]
    for position in positions(schema.names, wanted):
        if not _is_number(schema.field(position).type):
            refuse(f"column {schema.names[position]!r} holds {schema.field(position).type}, not flat numbers")
    if not wanted:
        refuse(f"none of the {len(schema.names)} columns holds flat numbers", "Coordinates are integers or floats.")
    if truth is not None:
        positions(schema.names, [truth], "truth column")
        if pa.types.is_nested(schema.field(truth).type):
            refuse(f"truth column {truth!r} holds {schema.field(truth).type}, not a number or text")
    return wanted


def _filled(file: Any, rows: int, wanted: list[str], truth: str | None, warnings: list[str]) -> Table:
    import numpy as np

    points = np.empty((rows, len(wanted)))
    known: list[tuple[NDArray[Any], NDArray[np.bool_]]] = []
    inexact: dict[str, str] = {}
    filled = 0
    for batch in file.iter_batches(_BATCH_ROWS, columns=[*wanted, *([truth] if truth else [])], use_threads=False):
        if filled + len(batch) > rows:
            refuse(f"the Parquet footer promises {rows:,} rows, but there are more", "Write the file again.")
        for position, name in enumerate(wanted):
            values = _numbers(batch.column(name))
            points[filled : filled + len(batch), position] = values
            if warning := inexact_integers(values, name):
                inexact[name] = warning
        if truth is not None:
            known.append(truth_values(batch.column(truth)))
        filled += len(batch)
    if filled != rows:
        refuse(f"the Parquet footer promises {rows:,} rows, but there are {filled:,}", "Write the file again.")
    return Table(points, wanted, joined_truth(known, truth), [*warnings, *inexact.values()])


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _numbers(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    if pa.types.is_decimal(column.type) or column.null_count:
        column = column.cast(pa.float64(), safe=False)
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values

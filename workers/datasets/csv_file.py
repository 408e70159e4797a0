"""Reads CSV: comma, semicolon or tab between cells, a header line, UTF-8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from workers.datasets.arrow_columns import joined_truth, left_out_warning, truth_values
from workers.datasets.csv_text import check_text, find, header, is_number
from workers.datasets.errors import refuse
from workers.datasets.limits import PrepareLimits
from workers.datasets.table import Table, Truth, check_cells, inexact_integers, positions

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A row must fit into one block.
_BLOCK_BYTES = 8 << 20
# Cells that mean "no value": Arrow's own list and Python's None.
_MISSING = ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA"]
_MISSING += ["NULL", "NaN", "n/a", "nan", "null", "None"]


def load_csv(path: Path, columns: list[str] | None, truth: str | None, limits: PrepareLimits) -> Table:
    """Raises InvalidDataset with the line of the first fault."""
    import numpy as np

    check_text(path)
    names, delimiter, skip = header(path, limits.max_columns)
    wanted = columns or [name for name in names if name != truth]
    positions(names, wanted)
    if truth is not None:
        positions(names, [truth], "truth column")
    table = _parsed(path, names, delimiter, skip, [*wanted, *([truth] if truth else [])])
    if table.num_rows < 1:
        refuse("the file has a header line and no rows", "Send at least one row.")
    left_out: list[str] = []
    if columns is None:
        left_out = [name for name in wanted if not _is_number(table.column(name))]
        wanted = [name for name in wanted if _is_number(table.column(name))]
    if not wanted:
        _refuse_text(path, names, delimiter, left_out[0] if left_out else names[0])
    check_cells(table.num_rows, len(wanted), limits.max_cells)

    points = np.empty((table.num_rows, len(wanted)))
    warnings = left_out_warning(left_out)
    for position, name in enumerate(wanted):
        column = table.column(name)
        if columns is not None and not (_is_number(column) or _is_empty(column)):
            _refuse_text(path, names, delimiter, name)
        values = _numbers(column)
        points[:, position] = values
        warning = inexact_integers(values, name)
        if warning:
            warnings.append(warning)
    return Table(points, wanted, _truth(table, truth), warnings)


def _parsed(path: Path, names: list[str], delimiter: str, skip: int, wanted: list[str]) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    try:
        return csv.read_csv(
            path,
            # Named by us, because our names are stripped; one thread, so that the address space stays small.
            read_options=csv.ReadOptions(
                use_threads=False, block_size=_BLOCK_BYTES, column_names=names, skip_rows=skip
            ),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=False),
            convert_options=csv.ConvertOptions(include_columns=wanted, null_values=_MISSING, strings_can_be_null=True),
        )
    except MemoryError:
        raise
    except (pa.ArrowException, ValueError) as error:
        ragged = find(path, delimiter, lambda cells: None if len(cells) == len(names) else str(len(cells)))
        if ragged is not None:
            refuse(
                f"line {ragged[0]} has {ragged[1]} cells where the header has {len(names)}",
                "Give every row as many cells as the header; quote texts that hold the delimiter.",
            )
        refuse(f"the CSV cannot be parsed: {str(error)[:300]}", "Write the file again.")


def _is_number(column: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(column.type) or pa.types.is_floating(column.type))


def _is_empty(column: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_null(column.type))


def _numbers(column: Any) -> NDArray[Any]:
    import numpy as np
    import pyarrow as pa

    if _is_empty(column):
        return np.full(len(column), np.nan)
    if column.null_count:
        column = column.cast(pa.float64(), safe=False)
    values: NDArray[Any] = column.to_numpy()
    return values


def _truth(table: Any, name: str | None) -> Truth | None:
    if name is None:
        return None
    return joined_truth([truth_values(chunk) for chunk in table.column(name).chunks], name)


def _refuse_text(path: Path, names: list[str], delimiter: str, name: str) -> NoReturn:
    position = names.index(name)

    def fault(cells: list[str]) -> str | None:
        if len(cells) <= position or cells[position].strip() in _MISSING or is_number(cells[position]):
            return None
        return cells[position]

    found = find(path, delimiter, fault)
    if found is None:
        refuse(f"column {name!r} holds no numbers", "Name other `columns`.")
    line, text = found
    comma = "," in text and is_number(text.replace(",", ".", 1))
    refuse(
        f"column {name!r}, line {line}: {text[:80]!r} is not a number",
        "Write decimal points, not commas." if comma else "Correct the cell, or name other `columns`.",
    )

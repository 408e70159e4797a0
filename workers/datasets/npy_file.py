"""Reads .npy: plain numbers in a matrix, nothing that needs pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.datasets.errors import refuse
from workers.datasets.limits import PrepareLimits
from workers.datasets.table import Table, check_cells, inexact_integers, positions, truth_from

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A header is a literal that Python parses; an honest one has some 80 bytes.
_HEADER_BYTES = 4_096
_NUMBERS = "a matrix of integers or floats, for example float64 of shape (n, d)"


def load_npy(path: Path, columns: list[str] | None, truth: str | None, limits: PrepareLimits) -> Table:
    """Columns are named x0, x1, …. Raises InvalidDataset."""
    import numpy as np

    matrix = _mapped(path, limits)
    available = [f"x{position}" for position in range(matrix.shape[1])]
    wanted = columns or [name for name in available if name != truth]
    where = positions(available, wanted)
    check_cells(len(matrix), len(where), limits.max_cells)
    warnings = [inexact_integers(matrix[:, position], available[position]) for position in where]
    points = np.ascontiguousarray(matrix if where == list(range(matrix.shape[1])) else matrix[:, where], np.float64)
    known = None
    if truth is not None:
        values = np.asarray(matrix[:, positions(available, [truth], "truth column")[0]])
        known = truth_from(values, np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool), truth)
    return Table(points, wanted, known, [warning for warning in warnings if warning])


def _mapped(path: Path, limits: PrepareLimits) -> NDArray[Any]:
    import numpy as np

    shape, fortran, dtype, offset = _header(path)
    if dtype.hasobject:
        refuse("the npy file holds Python objects, which are never read: they may run code", f"Save {_NUMBERS}.")
    if dtype.kind not in "iuf" or dtype.itemsize > 8 or dtype.names or dtype.subdtype:
        refuse(f"the npy file holds {dtype}, not plain numbers", f"Save {_NUMBERS}.")
    if len(shape) != 2:
        refuse(f"the npy file has {len(shape)} dimensions (shape {shape}), not 2", f"Save {_NUMBERS}.")
    rows, columns = shape
    if rows < 1 or columns < 1:
        refuse(f"the npy file has shape {shape}: no points", "Send at least one row and one column.")
    if columns > limits.max_columns:
        refuse(f"the npy file has {columns:,} columns, above the limit of {limits.max_columns:,}")
    told, actual = rows * columns * dtype.itemsize, path.stat().st_size - offset
    if told != actual:
        refuse(f"the npy header promises {told:,} bytes of data, the file has {actual:,}", "Write the file again.")
    return np.memmap(path, dtype, "r", offset, (rows, columns), "F" if fortran else "C")


def _header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    with path.open("rb") as file:
        try:
            version = npy.read_magic(file)
            if version not in readers:
                raise ValueError(f"version {version}")
            shape, fortran, dtype = readers[version](file, max_header_size=_HEADER_BYTES)
        except Exception as error:  # NumPy lets through what Python's tokenizer and parser raise, some ten kinds
            refuse(f"the npy header cannot be read: {str(error)[:300]}", "Write the file with numpy.save.")
        return shape, fortran, dtype, file.tell()

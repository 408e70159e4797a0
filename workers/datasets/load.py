"""From what a dataset names as its source to a table of points."""

from __future__ import annotations

from pathlib import Path

from app.contracts.dataset import DatasetSpec
from workers.datasets.builtin import load_builtin
from workers.datasets.csv_file import load_csv
from workers.datasets.errors import refuse
from workers.datasets.generate import generate
from workers.datasets.limits import PrepareLimits
from workers.datasets.npy_file import load_npy
from workers.datasets.parquet_file import load_parquet
from workers.datasets.sniff import read_format
from workers.datasets.table import Table, positions

_READERS = {"csv": load_csv, "parquet": load_parquet, "npy": load_npy}


def load(spec: DatasetSpec, source_file: Path | None, limits: PrepareLimits) -> Table:
    """The chosen columns of the source. Raises InvalidDataset.

    `source_file` is the fetched file of an upload, s3 or path source (never opened here by the name in the spec);
    built-in and generated data need none.
    """
    if spec.columns is not None:
        if not spec.columns:
            refuse("`columns` is an empty list", "Name at least one column, or leave `columns` out.")
        if len(spec.columns) > limits.max_columns:
            refuse(f"{len(spec.columns):,} columns are named, above the limit of {limits.max_columns:,}")
        if spec.truth in spec.columns:
            refuse(f"column {spec.truth!r} is named as a coordinate and as truth", "The truth is not a coordinate.")
    if spec.source.builtin is not None:
        return _chosen(load_builtin(spec.source.builtin, limits), spec)
    if spec.source.generate is not None:
        return _chosen(generate(spec.source.generate, limits), spec)
    if source_file is None:
        raise ValueError("this source needs source_file")
    form = read_format(source_file, spec.format, limits.max_bytes_in_file)
    return _READERS[form](source_file, spec.columns, spec.truth, limits)


def _chosen(table: Table, spec: DatasetSpec) -> Table:
    """Built-in and generated tables know their truth by themselves, under the name `truth`."""
    if spec.truth not in {None, "truth"} or (spec.truth == "truth" and table.truth is None):
        refuse(
            f"truth column {spec.truth!r} is not part of this source",
            "Built-in and generated data carry their truth where there is one; leave `truth` out.",
        )
    if spec.columns is None:
        return table
    where = positions(table.names, spec.columns)
    return Table(table.points[:, where].copy(), spec.columns, table.truth, table.warnings)

"""Clusters arrays on a Spark session: keeps their Parquet form, and runs the program on it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workers.spark.program import cluster
from workers.spark.session import start_session, stop_session
from workers.spark.tables import POINTS, FolderTables, Tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class LabelledPoints:
    """labels int64 (n,), core bool (n,), in row order; details: JSON values."""

    labels: NDArray[np.int64]
    core: NDArray[np.bool_]
    details: dict[str, Any]


class TableClusterer:
    """On a session of somebody else's; what it writes into `tables` goes with `close`."""

    def __init__(self, session: SparkSession, tables: Tables, threads: int) -> None:
        self._session = session
        self._tables = tables
        self._table: str | None = None
        self._source: object = None
        self._fits = 0
        # The first Python worker of a session imports numpy and scipy: part of the start, not of a fit.
        session.range(threads, numPartitions=threads).mapInArrow(_import_libraries, "id bigint").count()

    def prepare(self, points: NDArray[np.float64]) -> None:
        """Write points (n, d) as a Parquet table, unless the last call was for the same ones."""
        self._prepared(points)

    def fit(
        self,
        points: NDArray[np.float64],
        eps: float,
        min_samples: int,
        *,
        leaves: int | None = None,
        least_width: float | None = None,
    ) -> LabelledPoints:
        """DBSCAN of points (n, d), Parquet in to labels out. See `program.cluster` for the arguments and errors."""
        table = self._session.read.parquet(self._prepared(points))
        self._fits += 1
        answer = f"labels-{self._fits}.parquet"
        outcome = cluster(table, eps, min_samples, points.shape[1], leaves=leaves, least_width=least_width)
        try:
            begin = perf_counter()
            outcome.labels.write.parquet(self._tables.address(answer))
            labels, core = _in_row_order(self._tables.read(answer), len(points))
            outcome.details["phase_seconds"]["relabel"] = perf_counter() - begin
        finally:
            outcome.free()
            self._tables.drop(answer)
        return LabelledPoints(labels, core, outcome.details)

    def close(self) -> None:
        """Remove what was written."""
        self._drop_points()

    def _prepared(self, points: NDArray[np.float64]) -> str:
        source = _identity(points)
        if self._table is None or not _is_same(source, self._source):
            self._drop_points()
            self._table, self._source = self._tables.put_points(points), source
        return self._table

    def _drop_points(self) -> None:
        if self._table is not None:
            self._tables.drop(POINTS)
            self._table = None
            # Spark remembers files by path; the next points take the same one.
            self._session.catalog.clearCache()


class SparkClusterer(TableClusterer):
    """A session of its own, `local[threads]`; everything it writes lies below `scratch` and goes with `close`."""

    def __init__(self, threads: int, memory_limit_bytes: int, scratch: Path) -> None:
        self._scratch = scratch
        super().__init__(start_session(threads, memory_limit_bytes, scratch), FolderTables(scratch), threads)

    def close(self) -> None:
        """Stop the session and its JVM, and remove what was written."""
        stop_session(self._session)
        shutil.rmtree(self._scratch, ignore_errors=True)


def _in_row_order(table: pa.Table, n: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    ids = table["id"].to_numpy()
    if len(ids) != n:
        raise RuntimeError(f"{len(ids)} labels came back for {n} points")
    labels, core = np.empty(n, dtype=np.int64), np.empty(n, dtype=bool)
    labels[ids] = table["label"].to_numpy()
    core[ids] = table["core"].to_numpy()
    return labels, core


def _import_libraries(batches: Any) -> Any:
    import workers.spark.program  # noqa: F401

    yield from batches


def _identity(points: NDArray[np.float64]) -> object:
    """What tells whether points are the same without reading them: the mapped file, else the very array."""
    # A view of a mapped file has the file's name and offset too, but other points.
    if isinstance(points, np.memmap) and isinstance(points.base, mmap) and points.filename is not None:
        status = Path(points.filename).stat()
        return (str(points.filename), status.st_ino, status.st_mtime_ns, points.offset, points.shape)
    return points


def _is_same(a: object, b: object) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return a == b
    return a is b

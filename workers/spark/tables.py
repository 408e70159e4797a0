"""Where the tables lie that Spark reads and writes: a folder of this machine, or the object store by s3a."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.contracts.objects import ObjectStore
from workers.spark.leaf_rows import pack

ROW_GROUP = 65_536
POINTS = "points.parquet"
_SCHEMA = pa.schema([("id", pa.int64()), ("point", pa.binary())])


class Tables(Protocol):
    """Tables of one session. An address is what Spark reads and writes; names are given once."""

    def put_points(self, points: NDArray[np.float64]) -> str:
        """Store points (n, d) in the place of earlier ones; their address."""
        ...

    def address(self, name: str) -> str:
        """Of a table that Spark is to write."""
        ...

    def read(self, name: str) -> pa.Table:
        """A table that Spark wrote, all of it."""
        ...

    def drop(self, name: str) -> None:
        """Remove a table; one that is not there is as good as dropped."""
        ...


class FolderTables:
    """Below `folder`, which must exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put_points(self, points: NDArray[np.float64]) -> str:
        table = self._folder / POINTS
        write_points(points, table)
        return str(table)

    def address(self, name: str) -> str:
        return str(self._folder / name)

    def read(self, name: str) -> pa.Table:
        return pq.read_table(self._folder / name)

    def drop(self, name: str) -> None:
        table = self._folder / name
        if table.is_dir():
            shutil.rmtree(table, ignore_errors=True)
        table.unlink(missing_ok=True)


class StoreTables:
    """Below `prefix` of the bucket `bucket`, where executors on other machines find them; `scratch` must exist."""

    def __init__(self, store: ObjectStore, bucket: str, prefix: str, scratch: Path) -> None:
        self._store = store
        self._bucket = bucket
        self._prefix = prefix
        self._scratch = scratch

    def put_points(self, points: NDArray[np.float64]) -> str:
        table = self._scratch / POINTS
        write_points(points, table)
        try:
            self._store.upload(self._prefix + POINTS, table)
        finally:
            table.unlink(missing_ok=True)
        return self.address(POINTS)

    def address(self, name: str) -> str:
        return f"s3a://{self._bucket}/{self._prefix}{name}"

    def read(self, name: str) -> pa.Table:
        folder = self._scratch / name
        folder.mkdir()
        try:
            for number, key in enumerate(self._keys(name)):
                if key.endswith(".parquet"):
                    self._store.download(key, folder / f"{number}.parquet")
            return pq.read_table(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def drop(self, name: str) -> None:
        for key in self._keys(name):
            self._store.delete(key)

    def _keys(self, name: str) -> list[str]:
        # With its last character: labels-1 is not the beginning of labels-10.
        return [
            key for key in self._store.keys(self._prefix + name) if key[len(self._prefix + name) :][:1] in {"", "/"}
        ]


def write_points(points: NDArray[np.float64], table: Path) -> None:
    """Points (n, d) as Parquet: id int64, the row; point binary, d little-endian float64."""
    with pq.ParquetWriter(table, _SCHEMA, compression="none", use_dictionary=False) as writer:
        for start in range(0, max(1, len(points)), ROW_GROUP):
            part = np.asarray(points[start : start + ROW_GROUP])
            ids = pa.array(np.arange(start, start + len(part)))
            writer.write_table(pa.Table.from_arrays([ids, pack(part)], schema=_SCHEMA))

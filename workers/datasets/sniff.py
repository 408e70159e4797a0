"""Which format a file has, by its first bytes: names and content types are what the sender says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from workers.datasets.errors import refuse

Format = Literal["csv", "parquet", "npy"]

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x04\x22\x4d\x18": "lz4",
}
_OTHERS = {
    b"\xff\xfe": "UTF-16 or UTF-32 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x00\x00\xfe\xff": "UTF-32 text",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF",
    b"\x7fELF": "a program",
}


def sniff(path: Path, max_bytes: int) -> Format:
    """The format of the file. Raises InvalidDataset when it is empty, too large, compressed, or none of the three."""
    size = path.stat().st_size
    if size == 0:
        refuse("the file is empty (0 bytes)", "Send a table with a header line and at least one row.")
    if size > max_bytes:
        refuse(f"the file has {size:,} bytes, above the limit of {max_bytes:,}", "Use fewer rows, or Parquet.")
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            refuse(f"the file is compressed ({name})", "Send it uncompressed; Parquet compresses by itself.")
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            refuse(f"the file is {name}", "Send UTF-8 CSV, Parquet or npy.")
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        refuse("the file is a Python pickle, never read since it may run code", "Save with numpy.save or to_parquet.")
    return "csv"


def read_format(path: Path, declared: str, max_bytes: int) -> Format:
    """What the file is; refused where that is not what the dataset declares."""
    found = sniff(path, max_bytes)
    if declared not in {"auto", found}:
        refuse(f"the dataset declares format {declared}, but the file is {found}", f"Write `format: {found}`.")
    return found

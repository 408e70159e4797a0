"""Files that no dataset can be made of, each with what the refusal must say. Made by code: most are binary or large."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class BadInput:
    """`spec` goes into the DatasetSpec; `says` is a regular expression for the message."""

    name: str
    content: Callable[[], bytes]
    says: str
    spec: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        path = folder / self.name.replace(" ", "-")
        path.write_bytes(self.content())
        return path


class _RunsCode:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("import os; os._exit(66)",))


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npy_with_header(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def nested_parquet(depth: int) -> bytes:
    kind: pa.DataType = pa.int64()
    value: Any = 1
    for _ in range(depth):
        kind, value = pa.struct([("inner", kind)]), {"inner": value}
    return parquet(pa.table({"deep": pa.array([value], kind)}))


def _forged(body: bytes) -> bytes:
    """Magic at both ends, footer length beyond the file, as parsers that trust it like least."""
    return b"PAR1" + body + struct.pack("<I", 0x7FFFFFFF) + b"PAR1"


def _flipped(content: bytes) -> bytes:
    """The pages overwritten, the footer whole: what a broken disk leaves."""
    middle = len(content) // 4
    return content[:4] + b"\xff" * middle + content[4 + middle :]


def _many_columns(count: int) -> bytes:
    return (",".join(f"c{number}" for number in range(count)) + "\n" + ",".join(["1"] * count) + "\n").encode()


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inner.csv", "x,y\n1,2\n")
    return file.getvalue()


_DROP = {"cleaning": {"missing": "drop"}}
_CSV = b"x,y\n1,2\n3,4\n"

CSV = [
    BadInput("empty file", lambda: b"", r"empty \(0 bytes\)"),
    BadInput("blank lines only", lambda: b"\n\r\n\n", "only blank lines"),
    BadInput("header only", lambda: b"x,y\n", "header line and no rows"),
    BadInput("no header", lambda: b"1.5,2.5\n3,4\n", r"line 1 holds numbers \(1.5, 2.5\)"),
    BadInput("short row", lambda: b"x,y\n1,2\n\n3\n4,5\n", "line 4 has 1 cells where the header has 2"),
    BadInput("long row", lambda: b"x,y\n1,2\n3,4,5\n", "line 3 has 3 cells where the header has 2"),
    BadInput("short row after a text of two lines", lambda: b'x,y,t\n1,2,"a\nb"\n3,4\n', "line 4 has 2 cells"),
    BadInput("open quote", lambda: b'x,y,t\n1,2,a\n3,4,"b\n5,6,c\n', "quote that opens on line 3 never closes"),
    BadInput("duplicate headers", lambda: b"x,y,x\n1,2,3\n", "names column 'x' twice"),
    BadInput("nameless column", lambda: b"x,,y\n1,2,3\n", "column 2 of the header has no name"),
    BadInput("long name", lambda: b"x," + b"n" * 129 + b"\n1,2\n", "129 characters"),
    BadInput("endless name", lambda: b"n" * 5_000_000, "characters, above the limit of 128"),
    BadInput("endless cell", lambda: b"x,y\n1," + b"2" * 9_000_000 + b"\n", "."),
    BadInput("too many columns", lambda: _many_columns(10_001), "10,001 columns"),
    BadInput("a million columns", lambda: b"," * 1_000_000 + b"\n", "1,000,001 columns"),
    BadInput("utf-16", lambda: "x,y\n1,2\n".encode("utf-16"), "UTF-16"),
    BadInput("utf-16 without mark", lambda: "x,y\n1,2\n".encode("utf-16-le"), "line 1 holds a NUL"),
    BadInput("NUL", lambda: b"x,y\n1,2\n3,\x004\n", "line 3 holds a NUL"),
    BadInput("latin-1", lambda: b"x,t\n1,a\n2,\xe9t\xe9\n", "line 3 is not UTF-8"),
    BadInput("cut in a character", lambda: b"x,t\n1,\xc3", "line 2 ends within"),
    BadInput("text", lambda: b"name,city\na,b\n", "column 'name', line 2: 'a' is not a number"),
    BadInput("text in a chosen column", lambda: b"x,y\n1,2\n3,abc\n", "'y', line 3: 'abc'", {"columns": ["x", "y"]}),
    BadInput("decimal commas", lambda: b"x;y\n1,5;2,5\n", "'1,5' is not a number"),
    BadInput("column missing", lambda: _CSV, "column 'z' is not among the 2", {"columns": ["x", "z"]}),
    BadInput("column twice", lambda: _CSV, "column 'x' is asked for twice", {"columns": ["x", "x"]}),
    BadInput("no columns", lambda: _CSV, "`columns` is an empty list", {"columns": []}),
    BadInput("truth missing", lambda: _CSV, "truth column 'label' is not among", {"truth": "label"}),
    BadInput("truth is a coordinate", lambda: _CSV, "'y' is named as", {"columns": ["x", "y"], "truth": "y"}),
    BadInput("truth of fractions", lambda: b"x,t\n1,0.5\n2,1.5\n", "0.5 and 1 more", {"truth": "t"}),
    BadInput("box on no column", lambda: _CSV, "'z' is not among", {"cleaning": {"boundingBox": {"z": [0, 1]}}}),
    BadInput("box around nothing", lambda: _CSV, "no row is left", {"cleaning": {"boundingBox": {"x": [9, 9]}}}),
    BadInput("NaN", lambda: b"x,y\n1,2\nNaN,4\n5,\n", "2 of 3 rows have missing values and 0 infinite.*row 2"),
    BadInput("infinity", lambda: b"x,y\n1,-inf\n", "0 of 1 rows have missing values and 1 infinite"),
    BadInput("number beyond float64", lambda: b"x,y\n1,1e400\n", "1 infinite"),
    BadInput("all missing", lambda: b"x,y\nNaN,1\n2,NaN\n", "no row is left of 2: 2 missing", _DROP),
    BadInput("truth unknown", lambda: b"x,t\n1,a\n2,\n", "1 of 2 rows have missing", {"truth": "t"}),
    BadInput("declared as npy", lambda: _CSV, "declares format npy, but the file is csv", {"format": "npy"}),
]

NPY = [
    BadInput("objects.npy", lambda: npy(np.array([["a", 1]], dtype=object), allow_pickle=True), "Python objects"),
    BadInput("code.npy", lambda: npy(np.array([[_RunsCode()]], dtype=object), allow_pickle=True), "Python objects"),
    BadInput("one dimension.npy", lambda: npy(np.arange(5.0)), r"1 dimensions \(shape \(5,\)\)"),
    BadInput("three dimensions.npy", lambda: npy(np.zeros((2, 2, 2))), "3 dimensions"),
    BadInput("scalar.npy", lambda: npy(np.float64(1)), "0 dimensions"),
    BadInput("structured.npy", lambda: npy(np.zeros((2, 2), [("a", "f8"), ("b", "f8")])), "not plain numbers"),
    BadInput("structure with objects.npy", lambda: npy(np.zeros((1, 1), [("a", "O")])), "Python objects"),
    BadInput("complex.npy", lambda: npy(np.zeros((2, 2), complex)), "complex128, not plain"),
    BadInput("text.npy", lambda: npy(np.array([["a", "b"]])), "<U1, not plain"),
    BadInput("bool.npy", lambda: npy(np.ones((2, 2), bool)), "bool, not plain"),
    BadInput("long double.npy", lambda: npy(np.zeros((2, 2), np.longdouble)), "not plain numbers"),
    BadInput("dates.npy", lambda: npy(np.zeros((2, 2), "M8[s]")), "not plain numbers"),
    BadInput("no rows.npy", lambda: npy(np.zeros((0, 3))), r"\(0, 3\): no points"),
    BadInput("no columns.npy", lambda: npy(np.zeros((3, 0))), r"\(3, 0\): no points"),
    BadInput("wide.npy", lambda: npy(np.zeros((1, 10_001))), "10,001 columns"),
    BadInput("cut.npy", lambda: npy(np.zeros((10, 2)))[:-8], "promises 160 bytes of data, the file has 152"),
    BadInput("longer than told.npy", lambda: npy(np.zeros((10, 2))) + b"x", "promises 160 bytes"),
    BadInput(
        "promises an exabyte.npy",
        lambda: npy_with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000000000, 2), }"),
        "promises 1,600,000,000,000,000,000 bytes",
    ),
    BadInput(
        "negative shape.npy",
        lambda: npy_with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-4, -4), }", b"\0" * 128),
        "no points",
    ),
    BadInput("header of code.npy", lambda: npy_with_header("__import__('os')._exit(66)"), "header cannot be read"),
    BadInput("header of brackets.npy", lambda: npy_with_header("(" * 3_000), "header cannot be read"),
    BadInput("huge header.npy", lambda: npy_with_header(" " * 60_000), "header cannot be read"),
    BadInput("future version.npy", lambda: b"\x93NUMPY\x09\x00" + b"\0" * 80, "header cannot be read"),
    BadInput("magic only.npy", lambda: b"\x93NUMPY", "header cannot be read"),
    BadInput("NaN.npy", lambda: npy(np.array([[1.0, np.nan], [np.inf, 2.0]])), "1 of 2 rows .* and 1 infinite"),
    BadInput("truth missing.npy", lambda: npy(np.zeros((2, 2))), "truth column 'x2' is not", {"truth": "x2"}),
]

PARQUET = [
    BadInput("strings.parquet", lambda: parquet(pa.table({"a": ["x"]})), "none of the 1 columns holds flat numbers"),
    BadInput("lists.parquet", lambda: parquet(pa.table({"a": [[1.0, 2.0]]})), "none of the 1 columns"),
    BadInput("chosen list.parquet", lambda: parquet(pa.table({"a": [[1.0]]})), "list<.*not flat", {"columns": ["a"]}),
    BadInput("no rows.parquet", lambda: parquet(pa.table({"a": pa.array([], pa.float64())})), "no rows"),
    BadInput("nulls.parquet", lambda: parquet(pa.table({"a": [1.0, None, 3.0]})), "1 of 3 rows have missing"),
    BadInput("nested truth.parquet", lambda: parquet(pa.table({"a": [1], "t": [[1]]})), "truth column", {"truth": "t"}),
    BadInput(
        "too many cells.parquet",
        lambda: parquet(pa.table({"a": pa.array(np.zeros(60_000)), "b": pa.array(np.zeros(60_000))})),
        "120,000 cells, above the limit of 100,000",
    ),
    BadInput("cut.parquet", lambda: parquet(pa.table({"a": [1.0, 2.0]}))[:-20], "cannot be read"),
    BadInput("forged footer.parquet", lambda: _forged(b"\x15\x00" * 100), "cannot be read"),
    BadInput("magic only.parquet", lambda: b"PAR1", "cannot be read"),
]

OTHER = [
    BadInput("pickle renamed.csv", lambda: pickle.dumps(_RunsCode()), "pickle, never read"),
    BadInput("pickle renamed.npy", lambda: pickle.dumps(_RunsCode()), "pickle, never read"),
    BadInput("pickle renamed.parquet", lambda: pickle.dumps(_RunsCode()), "pickle, never read"),
    BadInput("pickle of protocol 0.csv", lambda: pickle.dumps(_RunsCode(), 0), "."),
    BadInput("gzip bomb renamed.csv", lambda: gzip.compress(b"0" * 50_000_000), r"compressed \(gzip\)"),
    BadInput("zip.csv", _zip, r"compressed \(zip\)"),
    BadInput("pdf.csv", lambda: b"%PDF-1.7\n", "PDF"),
]

# These reach for the reader itself, so they are given only to the child with its limits.
HOSTILE = [
    BadInput("deeply nested.parquet", lambda: nested_parquet(500), "."),
    BadInput("broken pages.parquet", lambda: _flipped(parquet(pa.table({"a": np.random.rand(5_000)}))), "."),
    BadInput("code.npy", lambda: npy(np.array([[_RunsCode()]], dtype=object), allow_pickle=True), "Python objects"),
]

"""What is checked in a CSV file before it is parsed, and how a fault gets its line number."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from workers.datasets.errors import refuse

_CHUNK_BYTES = 16 << 20
_HEADER_BYTES = 4 << 20
_NAME_CHARACTERS = 128
_DELIMITERS = (",", ";", "\t")
_LINE_END = re.compile(r"\r\n|\r|\n")


def check_text(path: Path) -> None:
    """Raises InvalidDataset unless the whole file is UTF-8 without NUL, and every quote that opens also closes."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    lines, quotes = 1, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if b"\0" in chunk:
                line = lines + chunk[: chunk.index(b"\0")].count(b"\n")
                refuse(f"line {line} holds a NUL byte", "Send UTF-8 text; UTF-16 and binary files are not CSV.")
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                line = lines + error.object[: error.start].count(b"\n")
                refuse(f"line {line} is not UTF-8 ({error.reason})", "Save the file as UTF-8.")
            lines += chunk.count(b"\n")
            quotes += chunk.count(b'"')
    if decoder.getstate()[0]:
        refuse(f"line {lines} ends within a UTF-8 character", "The file is cut short; send it again.")
    if quotes % 2:
        _refuse_open_quote(path)


def _refuse_open_quote(path: Path) -> None:
    last = 0
    try:
        for last, _ in rows(path, ",", strict=True):  # noqa: B007 - the line before the fault
            pass
    except csv.Error as error:
        refuse(f"a quote that opens on line {last + 1} never closes ({error})", "Close it, or double it inside a text.")


def rows(path: Path, delimiter: str, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """(number of the last line of the row, its cells), header first, without blank lines."""
    csv.field_size_limit(_HEADER_BYTES)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=strict)
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
        except csv.Error as error:
            if strict:
                raise
            refuse(f"line {reader.line_num} cannot be split into cells: {error}")


def find(path: Path, delimiter: str, fault: Callable[[list[str]], str | None]) -> tuple[int, str] | None:
    """The first data row in which `fault` sees something: (line, what)."""
    data = rows(path, delimiter)
    next(data, None)
    for line, cells in data:
        what = fault(cells)
        if what is not None:
            return line, what
    return None


def header(path: Path, max_columns: int) -> tuple[list[str], str, int]:
    """Column names, delimiter, and the number of lines before the first row.

    Raises InvalidDataset unless there is a header of unique, short names.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    lines = _LINE_END.split(head.decode("utf-8-sig", errors="ignore"))
    blank = next((number for number, line in enumerate(lines) if line), 0)
    first = lines[blank]
    if not first:
        refuse("the file holds only blank lines", "Send a table with a header line and at least one row.")
    delimiter = next((mark for mark in _DELIMITERS if mark in first), ",")
    # Counted before it is split: ten million empty names cost more than the answer is worth.
    if first.count(delimiter) >= max_columns:
        refuse(f"line 1 names {first.count(delimiter) + 1:,} columns, above the limit of {max_columns:,}")
    csv.field_size_limit(_HEADER_BYTES)
    names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter))]
    _check_names(names)
    return names, delimiter, blank + 1


def _check_names(names: list[str]) -> None:
    seen: set[str] = set()
    for position, name in enumerate(names, start=1):
        if not name:
            refuse(f"column {position} of the header has no name", "Name it; pandas leaves it out with index=False.")
        if len(name) > _NAME_CHARACTERS:
            refuse(f"the name of column {position} has {len(name)} characters, above the limit of {_NAME_CHARACTERS}")
        if name in seen:
            refuse(f"the header names column {name!r} twice", "Give every column a name of its own.")
        seen.add(name)
    counted = names == [str(position) for position in range(len(names))]
    if not counted and all(is_number(name) for name in names):
        refuse(f"line 1 holds numbers ({', '.join(names[:3])}), not column names", "Add a header line.")


def is_number(text: str) -> bool:
    """As the CSV reader sees it, which knows no underscores within numbers."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text

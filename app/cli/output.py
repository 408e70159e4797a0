"""Printing: data to stdout in the form asked for, everything else to stderr; no colour off a terminal."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import typer


class Format(StrEnum):
    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


@dataclass(frozen=True)
class Column:
    """`cell` reads one item; a `wide` column shows with -o wide alone."""

    title: str
    cell: Callable[[Any], object]
    wide: bool = False
    right: bool = False


@dataclass(frozen=True)
class Table:
    columns: Sequence[Column]
    items: Sequence[Any]
    empty: str = "nothing found"
    heading: str = ""
    notes: Sequence[str] = field(default_factory=list)


_STYLES = {
    "succeeded": "green", "ready": "green", "identical": "green", "finished": "green",
    "running": "cyan", "preparing": "cyan", "submitted": "cyan", "border-only": "yellow", "partial": "yellow",
    "failed": "red", "lost": "red", "different": "red", "cancelled": "magenta", "skipped": "dim",
}  # fmt: skip


def data(text: str) -> None:
    """One or more lines of data on stdout."""
    typer.echo(text)


def note(text: str) -> None:
    """A line for the person at the terminal, on stderr."""
    typer.echo(clean(text), err=True)


def clean(value: object) -> str:
    """Text without control characters: what a server says must not drive the terminal."""
    return "".join(" " if c in "\n\t" else "\N{REPLACEMENT CHARACTER}" if _is_control(c) else c for c in str(value))


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs"}


def dump(raw: Any, form: Format) -> None:
    """`raw` as JSON or YAML, as the server said it."""
    if form is Format.YAML:
        import yaml

        data(yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=120).rstrip("\n"))
    else:
        data(json.dumps(raw, indent=2, ensure_ascii=False))


def coloured() -> bool:
    """Whether stdout may have colour: a terminal that can, and no NO_COLOR."""
    import os

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def tables(shown: Sequence[Table], form: Format) -> None:
    """Aligned columns, never wrapped or cut: a terminal wraps, `cut` and `awk` want whole cells."""
    text = [part for table in shown for part in _render(table, form is Format.WIDE)]
    if text:
        data("\n".join(text))


def _render(table: Table, wide: bool) -> list[str]:
    if not table.items:
        note(table.empty)
        return []
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    columns = [column for column in table.columns if wide or not column.wide]
    grid = Grid(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        grid.add_column(column.title, no_wrap=True, justify="right" if column.right else "left")
    for item in table.items:
        cells = [clean(_shown(column.cell(item))) for column in columns]
        grid.add_row(*(Text(cell, style=_STYLES.get(cell.split(" ")[0], "")) for cell in cells))
    sink = io.StringIO()
    console = Console(
        file=sink, width=100_000, force_terminal=coloured(), no_color=not coloured(), legacy_windows=False
    )
    console.print(grid)
    lines = [line.rstrip() for line in sink.getvalue().splitlines()]
    heading = ["", clean(table.heading)] if table.heading else []
    return [*heading, *lines, *(clean(line) for line in table.notes)]


def _shown(value: object) -> str:
    return "-" if value is None or value == "" else str(value)

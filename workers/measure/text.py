"""Words of a child that nobody vouches for, made fit for JSON, UTF-8 and PostgreSQL."""

from __future__ import annotations

import os
from pathlib import Path


def as_text(words: str) -> str:
    """Without NUL characters and lone surrogates."""
    return words.replace("\0", "").encode("utf-8", "replace").decode()


def tail(file: Path, size: int = 4_000) -> str:
    """The last `size` characters of a log; empty if there is none."""
    try:
        with file.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 8 * size))
            lines = as_text(log.read(8 * size).decode("utf-8", "replace")).splitlines(keepends=True)
    except OSError:
        return ""
    # faulthandler ends with a list of hundreds of modules, which would push out the stack above it.
    return "".join(line for line in lines if not line.startswith("Extension modules:"))[-size:]


def bound(file: Path, size: int, keep: int = 64 * 1024) -> None:
    """Cut a log that grew beyond `size` bytes down to its last `keep`; its writer must append (O_APPEND)."""
    try:
        if file.stat().st_size <= size:
            return
        with file.open("r+b") as log:
            log.seek(-keep, os.SEEK_END)
            last = log.read(keep)
            log.truncate(0)
            log.seek(0)
            log.write(last)
    except OSError:
        return  # a full disk must not end the measurement

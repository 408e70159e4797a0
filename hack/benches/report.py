"""What a measurement leaves behind: its section of docs/benchmarks.md, with command, machine and date."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
GIB = 2**30


def machine() -> str:
    """CPU model, cores, memory and kernel of this machine, in one line."""
    cores = len(os.sched_getaffinity(0))
    memory = psutil.virtual_memory().total / GIB
    return f"{_cpu_model()}, {cores} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_section(name: str, command: str, body: str) -> None:
    """Replace what stands between the markers of `name`; a new section goes to the end of the page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    when = f"{datetime.now(UTC):%Y-%m-%d}"
    section = f"{begin}\n{body.strip()}\n\n`{command}`, {when}, {machine()}.\n{end}"
    page = PAGE.read_text() if PAGE.exists() else "# Benchmarks\n"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if pattern.search(page):
        page = pattern.sub(lambda _: section, page)
    else:
        page = f"{page.rstrip()}\n\n## {name}\n\n{section}\n"
    PAGE.write_text(page)

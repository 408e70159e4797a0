"""The control groups of this process, version 1 or 2: which folders hold the files of a controller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc/self")


class Limits(NamedTuple):
    """None: not limited, or not readable."""

    cpus: float | None
    memory_bytes: int | None


class _Mount(NamedTuple):
    root: str
    point: Path
    unified: bool
    controllers: frozenset[str]


def _mounts(proc: Path) -> list[_Mount]:
    """cgroup mounts from mountinfo: fields before ` - `: 4th root, 5th mount point; after it: type, source, options."""
    found = []
    for line in _lines(proc / "mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if kind and kind[0] in ("cgroup", "cgroup2"):
            options = frozenset(kind[-1].split(","))
            found.append(_Mount(fields[3], Path(fields[4]), kind[0] == "cgroup2", options))
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _paths(proc: Path) -> Iterator[tuple[frozenset[str], str]]:
    """(controllers, path) of each hierarchy; version 2 has no controllers in this list."""
    for line in _lines(proc / "cgroup"):
        _, controllers, path = line.split(":", 2)
        yield frozenset(controllers.split(",")) - {""}, path


def folders(controller: str, proc: Path = PROC) -> list[Path]:
    """Own group first, then its ancestors up to the mount; empty where the controller is not visible."""
    mounts = _mounts(proc)
    for controllers, path in _paths(proc):
        if controllers and controller not in controllers:
            continue
        for mount in mounts:
            if mount.unified == (not controllers) and (mount.unified or controller in mount.controllers):
                chain = _chain(mount, path)
                if not mount.unified or _has_controller(chain, controller):
                    return chain
    return []


def _has_controller(chain: list[Path], controller: str) -> bool:
    return any(controller in " ".join(_lines(folder / "cgroup.controllers")).split() for folder in chain)


def _chain(mount: _Mount, path: str) -> list[Path]:
    # In a container the mount often shows only the own group, while the path is seen from the host.
    inside = path.removeprefix(mount.root) if mount.root != "/" else path
    own = mount.point / inside.strip("/")
    if not own.is_dir():
        own = mount.point
    return [own, *(parent for parent in own.parents if parent.is_relative_to(mount.point))]


def read_limits(proc: Path = PROC) -> Limits:
    """The tightest limit over the own group and its ancestors."""
    cpus = [quota for folder in folders("cpu", proc) if (quota := _cpu_quota(folder)) is not None]
    memory = [limit for folder in folders("memory", proc) if (limit := _memory_limit(folder)) is not None]
    return Limits(min(cpus, default=None), min(memory, default=None))


def _cpu_quota(folder: Path) -> float | None:
    fields = " ".join(_lines(folder / "cpu.max")).split() or [
        *_lines(folder / "cpu.cfs_quota_us"),
        *_lines(folder / "cpu.cfs_period_us"),
    ]
    if len(fields) != 2 or fields[0] in ("max", "-1"):
        return None
    return int(fields[0]) / int(fields[1])


def _memory_limit(folder: Path) -> int | None:
    text = " ".join(_lines(folder / "memory.max") or _lines(folder / "memory.limit_in_bytes")).strip()
    return int(text) if text.isdigit() else None


def counters(file: Path) -> dict[str, int]:
    """`key value` lines, as in cpu.stat and memory.events; empty where unreadable."""
    pairs = (line.split() for line in _lines(file))
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}

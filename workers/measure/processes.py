"""Process trees as /proc shows them: who belongs to a child, what memory it holds, and ending all of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

import psutil

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> int:
    """Resident bytes of one process; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def descendants(pid: int) -> list[int]:
    """Every live process below `pid`, without itself."""
    found: list[int] = []
    pending = [pid]
    while pending:
        below = children(pending.pop())
        found += below
        pending += below
    return found


def children(pid: int) -> list[int]:
    """Live or zombie processes that `pid` is the parent of."""
    # The kernel lists them by the thread that forked them; psutil would read every process of the machine.
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/task/{thread}/children") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        return []
    if not _LISTS_CHILDREN:
        with suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children()]
    return found


_LISTS_CHILDREN = os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children")


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third (state) on; the second may hold blanks and brackets."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of those children that it has reaped; 0 if it is gone. Resolution: clock tick."""
    fields = _stat(pid)
    return sum(int(field) for field in fields[11:15]) / TICKS if fields else 0.0


def session(pid: int) -> int | None:
    """Session id; None if the process is gone or a zombie."""
    fields = _stat(pid)
    return int(fields[3]) if fields and fields[0] not in "ZX" else None


def session_members(sid: int) -> list[int]:
    """Every live process of a session, wherever it hangs in the tree."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if session(pid) == sid]


def _alive(pids: Iterable[int]) -> Iterator[int]:
    return (pid for pid in pids if session(pid) is not None)


def _members(leader: int) -> set[int]:
    return {*_alive([leader, *descendants(leader)]), *session_members(leader)}


def kill_session(leader: int, within: float = 1.0) -> None:
    """End `leader`, its session and its descendants in other sessions, with SIGKILL; wait until they are dead."""
    give_up = time.monotonic() + within
    doomed: set[int] = set()
    while True:
        # Repeated, because a process may fork between the look and the kill.
        doomed |= _members(leader)
        for pid in doomed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        doomed = set(_alive(doomed))
        if not doomed and not _members(leader):
            return
        if time.monotonic() > give_up:
            return
        time.sleep(0.002)


class Tree:
    """Memory of a process and its descendants; the tree's shape is read anew only now and then, its memory always."""

    refresh_seconds = 0.2

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._below: list[int] = []
        self._looked_at = 0.0

    @property
    def is_single(self) -> bool:
        return not self._below

    def rss(self) -> int:
        """Sum of resident bytes. Pages that processes share count once for each of them."""
        now = time.monotonic()
        if now - self._looked_at >= self.refresh_seconds:
            self._below = descendants(self._pid)
            self._looked_at = now
        return rss(self._pid) + sum(rss(pid) for pid in self._below)

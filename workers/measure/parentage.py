"""Ties the life of a process to its parent's (Linux prctl)."""

from __future__ import annotations

import ctypes
import os
import signal

_SET_PDEATHSIG = 1
_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def die_with(parent: int, by: signal.Signals) -> None:
    """The kernel sends `by` when the thread that started this process ends. Exits at once if it is gone already."""
    _prctl(_SET_PDEATHSIG, int(by))
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Orphaned descendants become our children, so that none can outlive us unseen."""
    _prctl(_SET_CHILD_SUBREAPER, 1)

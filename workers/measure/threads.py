"""Threads of numeric libraries: how many they may use, and when they have come to rest."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
    "PARLAY_NUM_THREADS",
)
SINGLE_THREADED = {
    **dict.fromkeys(THREAD_VARIABLES, "1"),
    # jemalloc in pyarrow starts a thread of its own on import.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""Environment of a process that imports numeric libraries and then forks: threads do not survive that, locks do."""


def limit_threads(threads: int) -> object:
    """For libraries that are loaded (by call, while the answer lives) and that will be (by environment)."""
    import threadpoolctl

    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    return threadpoolctl.threadpool_limits(limits=threads)


def wait_until_threads_sleep(at_most: float = 0.2) -> None:
    """Worker threads of OpenBLAS and OpenMP spin for tens of milliseconds after their start or last use.

    Begun meanwhile, a fit would be charged with that CPU time and share its core with it (seen: 10 % of a 0.3 s fit).
    """
    give_up = time.monotonic() + at_most
    while time.monotonic() < give_up and _others_run():
        time.sleep(0.004)


def _others_run() -> bool:
    """Whether a thread of this process besides the caller's runs or waits for a core, as one that spins does."""
    caller = str(threading.get_native_id())
    for task in Path("/proc/self/task").iterdir():
        try:
            state = (task / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if task.name != caller and state == "R":
            return True
    return False

"""Threads of numeric libraries: how many they may use, and when they have come to rest."""

from __future__ import annotations

import os
import time

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
    "PARLAY_NUM_THREADS",
)


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
    while time.monotonic() < give_up:
        used = time.process_time()
        time.sleep(0.004)
        if time.process_time() - used < 0.001:
            return

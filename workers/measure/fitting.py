"""Inside the child: load, warm up, fit with the clock running, and nothing else while it runs."""

from __future__ import annotations

import gc
import os
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.contracts.measurement import Evidence, MemoryFigure
from workers.algorithms.adapter import Adapter, Clustering, Resources
from workers.measure import processes
from workers.measure.evidence import Witness
from workers.measure.group_peak import GroupPeak
from workers.measure.memory import PeakMeter
from workers.measure.messages import FitRequest
from workers.measure.phases import PhaseClock
from workers.measure.threads import wait_until_threads_sleep

WARM_UP_ROWS = 1_000


class CorruptDataError(ValueError):
    """The prepared file is not what the assignment says."""


class Fitted(NamedTuple):
    clustering: Clustering
    cpu_seconds: float
    evidence: Evidence
    memory: MemoryFigure | None


class CpuClock:
    """CPU time of this process, its reaped children and its live descendants (a Spark JVM, for one).

    Own time is read last at the start and first at the end: looking at the others costs time itself.
    """

    def __init__(self) -> None:
        self._others = _others_cpu_seconds()
        self._own = time.process_time()

    def seconds(self) -> float:
        own = time.process_time() - self._own
        return own + max(0.0, _others_cpu_seconds() - self._others)


def _others_cpu_seconds() -> float:
    reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
    below = sum(processes.cpu_seconds(pid) for pid in processes.descendants(os.getpid()))
    return reaped.ru_utime + reaped.ru_stime + below


class Fitter:
    """Fits one adapter, in a child that serves one sample or, for a session, many."""

    def __init__(self, adapter: Adapter[Any], resources: Resources, clock: PhaseClock) -> None:
        self._adapter = adapter
        self._resources = resources
        self._clock = clock
        self._is_session = adapter.info.capabilities.session
        self._fits = 0
        self._loaded: tuple[str, NDArray[np.float64]] | None = None
        self._witness = Witness()

    def load(self, request: FitRequest) -> NDArray[np.float64]:
        """Memory-mapped float64 points (n, d), all pages present. A session keeps what it loaded last."""
        if self._loaded is not None and self._loaded[0] == request.points:
            return self._loaded[1]
        with self._clock.timing("load"):
            points = _mapped(Path(request.points), request.n, request.d)
            self._adapter.prepare(points, self._resources)
        self._loaded = (request.points, points)
        return points

    def warm_up(self, points: NDArray[np.float64], request: FitRequest) -> None:
        """One-shot children fit a small prefix, so that lazy imports and first calls are behind them.

        A session fits all data, and only until it has done `warm_up` fits: a JVM compiles what runs long. The memory
        pass of a session begins cold, because a JVM never gives back the memory of earlier fits.
        """
        with self._clock.timing("warm_up"):
            if self._is_session:
                repeats = 0 if request.memory_pass else max(0, request.warm_up - self._fits)
                for _ in range(repeats):
                    self._adapter.fit(points, request.parameters, self._resources)
                    self._fits += 1
                return
            for _ in range(max(1, request.warm_up) if request.memory_pass else request.warm_up):
                try:
                    self._adapter.fit(points[:WARM_UP_ROWS], request.parameters, self._resources)
                except Exception:
                    # A prefix may be too small for an algorithm that can cluster the whole; the fit itself will tell.
                    return

    def fit(self, points: NDArray[np.float64], request: FitRequest, wait_for_go: Callable[[], None]) -> Fitted:
        """The timed fit. Garbage collection is done before and held off while the clock runs."""
        self._clock.announce("fit")
        random.seed(request.seed)
        np.random.seed(request.seed)
        gc.collect()
        meter = PeakMeter() if request.memory_pass else None
        group = GroupPeak() if request.memory_pass and request.own_pod else None
        if meter is not None:
            wait_for_go()
        wait_until_threads_sleep()
        gc.disable()
        try:
            self._witness.begin()
            cpu = CpuClock()
            begun = time.perf_counter()
            clustering = self._adapter.fit(points, request.parameters, self._resources)
            seconds = time.perf_counter() - begun
            used = cpu.seconds()
            evidence = self._witness.end()
            memory = group.figure() if group is not None else None
            if memory is None and meter is not None:
                memory = meter.figure()
        finally:
            gc.enable()
        self._fits += 1
        self._clock.note("fit", seconds)
        return Fitted(clustering, used, evidence, memory)


def _mapped(path: Path, n: int, d: int) -> NDArray[np.float64]:
    points = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    if points.shape != (n, d) or points.dtype != np.float64 or not points.flags.c_contiguous:
        raise CorruptDataError(
            f"the prepared points are {points.dtype} {points.shape}, not float64 {(n, d)} in C order"
        )
    # One value of each page of 4 KiB, so that reading the file is not part of the fit.
    points.reshape(-1)[::512].sum()
    return points

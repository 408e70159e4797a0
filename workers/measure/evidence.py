"""How quiet the machine was during a fit: what the kernel counted between two looks."""

from __future__ import annotations

import os
import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from app.contracts.measurement import Evidence
from workers.measure import cgroup

_TOTAL = re.compile(r"^some .*\btotal=(\d+)", re.MULTILINE)


def _pressure_microseconds(file: Path) -> int | None:
    try:
        match = _TOTAL.search(file.read_text())
    except OSError:
        return None
    return int(match[1]) if match else None


@dataclass(frozen=True)
class _Look:
    at: float
    voluntary: int
    involuntary: int
    throttled: int | None
    cpu: int | None
    memory: int | None


class Witness:
    """Finds its files once, so that a look is cheap. PSI of the own group if it has one, else the machine's."""

    def __init__(self, proc: Path = cgroup.PROC) -> None:
        cpu, memory = cgroup.folders("cpu", proc), cgroup.folders("memory", proc)
        self._cpu_stat = cpu[0] / "cpu.stat" if cpu else None
        self._cpu_pressure = _pressure_file(cpu, "cpu")
        self._memory_pressure = _pressure_file(memory, "memory")
        self._before = self._look()

    def begin(self) -> None:
        self._before = self._look()

    def end(self) -> Evidence:
        """What was counted since `begin`."""
        before, after = self._before, self._look()
        seconds = max(after.at - before.at, 1e-9)
        return Evidence(
            voluntary_switches=after.voluntary - before.voluntary,
            involuntary_switches=after.involuntary - before.involuntary,
            throttled_periods=_difference(before.throttled, after.throttled),
            cpu_pressure_share=_share(before.cpu, after.cpu, seconds),
            memory_pressure_share=_share(before.memory, after.memory, seconds),
            load_average=os.getloadavg()[0],
        )

    def _look(self) -> _Look:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return _Look(
            at=time.perf_counter(),
            voluntary=usage.ru_nvcsw,
            involuntary=usage.ru_nivcsw,
            throttled=cgroup.counters(self._cpu_stat).get("nr_throttled") if self._cpu_stat else None,
            cpu=_pressure_microseconds(self._cpu_pressure),
            memory=_pressure_microseconds(self._memory_pressure),
        )


def _pressure_file(folders: list[Path], resource_name: str) -> Path:
    own = folders[0] / f"{resource_name}.pressure" if folders else None
    return own if own is not None and own.exists() else Path("/proc/pressure") / resource_name


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)


def _share(before: int | None, after: int | None, seconds: float) -> float | None:
    microseconds = _difference(before, after)
    return None if microseconds is None else min(1.0, microseconds / 1e6 / seconds)

"""The executors of a running session: how many there are, and their memory, as Spark's own monitoring tells."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pyarrow as pa

from app.contracts.measurement import MemoryFigure
from workers.measure import cgroup
from workers.measure.memory import UNSUPPORTED

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

METRICS = ("ProcessTreeJVMRSSMemory", "ProcessTreePythonRSSMemory", "ProcessTreeOtherRSSMemory")
"""Resident bytes of an executor's JVM, of its Python workers, and of whatever else it started; each at its own peak."""
DRIVER = "driver"
BEATS = 2.5
"""Heartbeats to wait for, until every executor has told what it saw."""


class Executors:
    """Asks the driver's own web server (spark.apache.org/docs/4.0.0/monitoring.html, "REST API")."""

    def __init__(self, session: SparkSession) -> None:
        context = session.sparkContext
        address = urlsplit(context.uiWebUrl or "")
        if address.port is None:
            raise RuntimeError("spark.ui.enabled is needed: it tells the executors' memory")
        host = os.environ.get("SPARK_LOCAL_IP", "127.0.0.1")
        self._url = f"http://{host}:{address.port}/api/v1/applications/{context.applicationId}"
        self._beat_seconds = _seconds(context.getConf().get("spark.executor.heartbeatInterval", "10s"))
        self._local = (context.master or "").startswith("local")

    def registered(self) -> int:
        """Executors that are there. In local mode the driver is its own executor."""
        return len(self._ask())

    def lost(self) -> int:
        """Executors that have ended since the session began, whatever ended them."""
        return sum(not one["isActive"] for one in self._ask("allexecutors"))

    def peaks(self) -> dict[str, int]:
        """Peak resident bytes of each executor since it started, by its id; waits until they are recent."""
        time.sleep(BEATS * self._beat_seconds)
        return {str(one["id"]): _resident(one.get("peakMemoryMetrics") or {}) for one in self._ask()}

    def _ask(self, which: str = "executors") -> list[dict[str, Any]]:
        answer = httpx.get(f"{self._url}/{which}", timeout=20.0, trust_env=False)
        answer.raise_for_status()
        return [one for one in answer.json() if self._local == (one["id"] == DRIVER)]


def figure(before: Mapping[str, int], after: Mapping[str, int]) -> MemoryFigure:
    """Sum over executors of peaks before and after a fit. An executor that came in between has a baseline of 0."""
    peak = sum(after.values())
    if not peak or not all(after.values()):
        return UNSUPPORTED
    return MemoryFigure(
        peak_bytes=peak,
        baseline_bytes=sum(before.get(one, 0) for one in after),
        method="spark-executor-peaks",
    )


def oom_kills(session: SparkSession, threads: int) -> int:
    """Processes that the kernel has ended for memory in an executor's container, the most of any executor.

    A killed Python worker leaves no other trace: its executor lives, and the error says only that it is gone.
    """
    tasks = 4 * threads  # short ones, so that each executor gets some
    found = session.range(tasks, numPartitions=tasks).mapInArrow(_count_oom_kills, "kills bigint").toArrow()
    return max(found["kills"].to_pylist(), default=0)


def _count_oom_kills(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    memory = cgroup.folders("memory")
    files = [memory[0] / name for name in ("memory.events", "memory.oom_control")] if memory else []
    kills = sum(cgroup.counters(file).get("oom_kill", 0) for file in files)
    for _ in batches:
        yield pa.RecordBatch.from_arrays([pa.array([kills], pa.int64())], names=["kills"])


def _resident(metrics: Mapping[str, int]) -> int:
    return sum(int(metrics.get(name, 0)) for name in METRICS)


def _seconds(setting: str) -> float:
    """Of a Spark time setting with one of the two units that we write."""
    if setting.endswith("ms"):
        return float(setting[:-2]) / 1_000
    return float(setting.removesuffix("s"))

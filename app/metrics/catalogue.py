"""The metrics of this component: names, labels and meaning. Exposition, dashboards and docs all read them here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gauge:
    name: str
    meaning: str
    labels: tuple[str, ...] = ()


DEMAND = Gauge(
    "corepoint_queue_demand", "Batches that want a worker of this queue now: due, submitted or running", ("queue",)
)
WAITING = Gauge("corepoint_queue_waiting", "Batches that are due and not taken by a worker yet", ("queue",))
RUNNING = Gauge("corepoint_queue_running", "Batches that a worker has taken", ("queue",))
OLDEST_WAIT = Gauge(
    "corepoint_queue_oldest_wait_seconds", "How long the batch that waits longest has been due; 0 if none", ("queue",)
)
WORKERS_WANTED = Gauge(
    "corepoint_queue_workers_wanted",
    "Workers that the demand would keep busy: demand / worker_limit, rounded up",
    ("queue",),
)
WORKERS_READY = Gauge(
    "corepoint_queue_workers_ready", "Worker pods that are Ready and not ending; absent if unknown", ("queue",)
)
WORK_DUE = Gauge("corepoint_work_due", "Rows of work that the dispatcher should have done by now", ("kind",))
WORK_OLDEST = Gauge(
    "corepoint_work_oldest_seconds", "How long the oldest of these rows has been due; 0 if none", ("kind",)
)
WORK_POSTPONED = Gauge(
    "corepoint_work_postponed",
    "Rows of work that failed at least once and are tried again with growing delays",
    ("kind",),
)
RUNS_OPEN = Gauge("corepoint_runs_open", "Runs that have not ended", ("state",))
DATABASE_READABLE = Gauge(
    "corepoint_database_readable", "1 if these numbers could be read; if 0, the others are absent, never a false zero"
)

GAUGES = (
    DEMAND,
    WAITING,
    RUNNING,
    OLDEST_WAIT,
    WORKERS_WANTED,
    WORKERS_READY,
    WORK_DUE,
    WORK_OLDEST,
    WORK_POSTPONED,
    RUNS_OPEN,
    DATABASE_READABLE,
)

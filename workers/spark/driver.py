"""What a Spark driver runs: `driver.py KEY`, KEY being its order's in the object store.

It knows the store and Spark, and nothing of the control plane: rounds, manifests and outcome.json are its whole answer,
and whoever submitted it reads them. Everything else comes from its environment, as spark-submit and the pod give it.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import structlog

from app.contracts.assignment import BatchAssignment
from app.contracts.measurement import Environment
from app.contracts.objects import ObjectStore, StoreUnavailableError, cancelled_key, tables_prefix
from app.gateways.objects import open_store
from workers.batch import fetch_points, measure_and_publish
from workers.measure.control import Cancelled, Control, Drained
from workers.measure.environment import capture
from workers.patient_store import PatientStore, once
from workers.settings import WorkerSettings
from workers.spark.cluster import Sessions
from workers.spark.sampling import ClusterSampler
from workers.spark.submit.order import GAVE_BACK, Order
from workers.spark.tables import StoreTables

log = structlog.get_logger()
LAST_SECONDS = 10.0
"""Of the time from SIGTERM to SIGKILL, kept for saving what there is."""


def main(arguments: list[str]) -> int:
    """Exit status 0 once outcome.json is written, GAVE_BACK if SIGTERM came before."""
    settings = WorkerSettings()
    control = Control()
    store = PatientStore(open_store(settings.objects), control, settings.store_seconds)
    order = Order.model_validate_json(store.get(arguments[0]))
    assignment = order.assignment
    _drain_on_sigterm(control, order.grace_seconds, partial(_is_cancelled, once(store), assignment))
    scratch = settings.scratch / str(assignment.batch_id)
    scratch.mkdir(parents=True, exist_ok=True)
    sessions = Sessions(order.executors, order.start_seconds, control)
    try:
        measure(store, order, settings, scratch, sessions, control)
    except (Cancelled, Drained):
        log.info("asked to stop: the rounds saved so far remain")
        return GAVE_BACK
    finally:
        sessions.stop()
        drop_tables(once(store), assignment)
    return 0


def measure(  # noqa: PLR0917 - what a batch needs, each of another kind
    store: ObjectStore,
    order: Order,
    settings: WorkerSettings,
    scratch: Path,
    sessions: Sessions,
    control: Control,
) -> None:
    assignment = order.assignment
    data = fetch_points(store, assignment, settings.cache)
    prefix = tables_prefix(assignment.run_id, assignment.batch_id, assignment.attempt)
    tables = StoreTables(store, settings.objects.bucket, prefix, scratch)
    source = ClusterSampler(sessions, tables, order, scratch, control)
    log.info("measuring", trials=len(assignment.trials), rounds=assignment.protocol.rounds)
    report = measure_and_publish(store, assignment, data, _environment(order), scratch, control, source=source)
    log.info("published", outcomes=len(report.outcomes))


def drop_tables(store: ObjectStore, assignment: BatchAssignment) -> None:
    """Nobody reads them afterwards, and they are as large as the data."""
    for key in list(store.keys(tables_prefix(assignment.run_id, assignment.batch_id, assignment.attempt))):
        store.delete(key)


def _environment(order: Order) -> Environment:
    """The driver's, with the quota and the memory of all executors: they are what times depend on."""
    whole = {"cpu_quota": float(order.threads), "memory_limit_bytes": order.executors * order.executor_bytes}
    return capture().model_copy(update=whole)


def _is_cancelled(store: ObjectStore, assignment: BatchAssignment) -> bool:
    try:
        return store.exists(cancelled_key(assignment.run_id, assignment.batch_id, assignment.attempt))
    except StoreUnavailableError:
        return False  # then the sample is finished in vain


def _drain_on_sigterm(control: Control, grace_seconds: float, is_cancelled: Callable[[], bool]) -> None:
    """Finish the sample if the grace allows it and somebody wants it, else end it."""
    draining = control.draining
    assert isinstance(draining, threading.Event)  # noqa: S101 - Control's default

    def stop(number: int, frame: FrameType | None) -> None:
        draining.set()
        timer = threading.Timer(max(0.0, grace_seconds - LAST_SECONDS), control.cancelled.set)
        timer.daemon = True
        timer.start()
        threading.Thread(target=ask, name="cancelled", daemon=True).start()

    def ask() -> None:
        if is_cancelled():
            control.cancelled.set()

    signal.signal(signal.SIGTERM, stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

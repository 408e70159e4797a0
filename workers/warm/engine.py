"""The spare interpreter: one thread that has Prefect's engine and our flows imported and forks a process per flow run.

Started by `workers.warm.spare` as `python -m workers.warm.engine FD PARENT_PID`. See docs/decisions/0011-warm-start.md.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import ModuleType

from workers.measure import parentage
from workers.measure.nurseries import Nurseries
from workers.warm.forking import Forker
from workers.warm.messages import Order

PRELOAD = (
    "prefect.engine",
    "prefect.flow_engine",
    "prefect._internal.observers",
    "prefect.events.worker",
    "prefect.logging.handlers",
    "flows.measure_batch",
    "flows.prepare_dataset",
    "numpy",
)
"""What a flow run would import anyway. None of these may start a thread: threads do not survive a fork, locks do."""


def main(descriptor: int, parent: int) -> int:
    """Returns in the spare when the worker is gone, and in each flow run when that has ended."""
    # SIGKILL reaches a stopped process too. Flow runs are told to end in order: see `Forker`.
    parentage.die_with(parent, signal.SIGKILL)
    nurseries = Nurseries()
    nurseries.start()
    _preload()
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    order = None
    with suppress(BrokenPipeError):
        order = Forker(control, nurseries).serve()
    if order is not None:
        return _run(order)
    nurseries.close()
    return 0


def _preload() -> None:
    for name in PRELOAD:
        with suppress(ImportError):  # a flow run that needs it says so itself
            importlib.import_module(name)
    from app.gateways.objects import open_store
    from workers.control_plane import trusted_authorities
    from workers.measure.environment import capture
    from workers.settings import WorkerSettings

    # Each remembers what takes long to find out: versions, certificates, boto3's description of S3.
    capture()
    trusted_authorities()
    with suppress(Exception):  # a flow run that cannot open it says so itself
        open_store(WorkerSettings().objects)
    # Collections in a flow run would else write to, and so copy, every page that holds an object of ours.
    gc.collect()
    gc.freeze()


def _run(order: Order) -> int:
    """Prefect's own program of a flow run's process, with the imports done."""
    before = dict(os.environ)
    for name, value in order.environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if _prefect_settings(before) != _prefect_settings(os.environ):
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
    from prefect import flow_engine

    _quiet(flow_engine)
    flow_engine._run_flow_from_runtime_entrypoint(order.flow_run_id, order.entrypoint)
    return 0


def _quiet(flow_engine: ModuleType) -> None:
    """Without two threads that wake up beside each measurement, once and five times a second; the second also makes
    the start wait for a websocket. No setting turns them off.

    One tells Prefect every three minutes that we live: our own heartbeat says that to whom it concerns. The other
    listens for `suspend`: our flows cannot be suspended, they are drained.
    """
    for name in ("_send_heartbeats", "observe_flow_run_suspension"):
        assert hasattr(flow_engine, name)  # noqa: S101 - another version of Prefect: see ADR 0011
        setattr(flow_engine, name, _nothing)


@contextmanager
def _nothing(*_: object, **__: object) -> Iterator[None]:
    yield


def _prefect_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Prefect reads them when it is imported. Names with two underscores are said to a flow run, and read when used."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith("PREFECT_") and not name.startswith("PREFECT__")
    }


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))

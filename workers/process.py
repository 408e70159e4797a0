"""`python -m workers.process --pool P --name N --queue Q…`: one Prefect process worker that drains.

SIGTERM or SIGINT: nothing new is taken, the running batch finishes its current sample and is given back, exit 0.
Once more, or when the grace is nearly over: what runs is ended, exit 1.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from workers.draining import drain_file
from workers.health import Liveness, served
from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from workers.draining_worker import DrainingWorker

PREFECT_SETTINGS = {
    # How often Prefect is asked for work by a worker that has room, which costs its server 10 ms of CPU each time. The
    # default of 10 s would dominate the start of every batch; 3.8.8 has no way to be told.
    "PREFECT_WORKER_QUERY_SECONDS": "0.25",
    "PREFECT_WORKER_PREFETCH_SECONDS": "0",
    # Each new client would first ask the server for its version; the worker and its flow runs are of one image.
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
}
"""Defaults of ours; Prefect reads them when it is imported."""
KILL_SECONDS = 30.0
"""The end of the grace that is kept for ending what did not drain; of a short grace, a third."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: list[str]) -> int:
    """Serve the queues until told to stop; answers the exit code."""
    early = _EarlySignals()
    options = _parse(arguments)
    settings = WorkerSettings()
    os.environ.update(PREFECT_SETTINGS | os.environ)
    poll_seconds = float(os.environ["PREFECT_WORKER_QUERY_SECONDS"])
    # Flow runs report by this name, and Prefect lists the worker by it.
    os.environ["COREPOINT_WORKER_NAME"] = options.name
    liveness = Liveness()
    with served(liveness, options.health_port), drain_file(settings.scratch) as draining:
        if options.verify:
            from workers.preflight import verify

            verify(settings)
        import anyio

        from workers.draining_worker import DrainingWorker

        worker = DrainingWorker(
            pool=options.pool,
            queues=options.queue,
            name=options.name,
            limit=options.limit,
            drain_file=draining,
            liveness=liveness,
        )
        return 0 if anyio.run(_serve, worker, poll_seconds, settings.grace_seconds, early) else 1


class _EarlySignals:
    """Notes signals while Prefect is imported, which takes seconds: PID 1 would not even be ended by them."""

    def __init__(self) -> None:
        self.count = 0
        for number in STOP_SIGNALS:
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self.count += 1


async def _serve(worker: DrainingWorker, poll_seconds: float, grace: float | None, early: _EarlySignals) -> bool:
    import anyio

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_when_asked, worker, grace, early)
        ended_well = await worker.serve(poll_seconds)
        tasks.cancel_scope.cancel()
    return ended_well


async def _stop_when_asked(worker: DrainingWorker, grace: float | None, early: _EarlySignals) -> None:
    import anyio

    with anyio.open_signal_receiver(*STOP_SIGNALS) as received:
        asked = _all(early.count, received)
        await anext(asked)
        worker.drain()
        kept = KILL_SECONDS if grace is None else min(KILL_SECONDS, grace / 3)
        with anyio.move_on_after(None if grace is None else grace - kept):
            await anext(asked)
        worker.kill(kept)


async def _all(early: int, received: AsyncIterator[signal.Signals]) -> AsyncIterator[None]:
    for _ in range(early):
        yield
    async for _ in received:
        yield


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="workers.process", description=__doc__)
    parser.add_argument("--pool", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--queue", action="append", required=True, help="may be given several times")
    parser.add_argument(
        "--limit",
        type=int,
        default=1,
        help="flow runs at once: two samples at once falsify each other's timings, so only where they are measured "
        "elsewhere (spark) more than 1",
    )
    parser.add_argument("--health-port", type=int, help="serves /livez there")
    parser.add_argument("--verify", action="store_true", help="first see that API, Prefect and object store let us in")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

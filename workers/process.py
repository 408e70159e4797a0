"""`python -m workers.process --pool P --name N --queue Q…`: one Prefect process worker.

One flow run at a time: two samples at once on one worker would falsify each other's timings.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

POLL_SECONDS = "1"
"""How often Prefect is asked for work. Its default of 10 s would dominate the start of every batch."""


def main(arguments: list[str]) -> int:
    """Serve the queues until SIGTERM or SIGINT."""
    options = _parse(arguments)
    # Prefect reads its settings when it is imported.
    os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", POLL_SECONDS)
    os.environ.setdefault("PREFECT_WORKER_PREFETCH_SECONDS", "0")
    import anyio
    from prefect.workers.process import ProcessWorker

    async def serve() -> None:
        worker = ProcessWorker(work_pool_name=options.pool, work_queues=options.queue, name=options.name, limit=1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.start)
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for _ in signals:
                    break
            # Ends the flow run too: it gets SIGTERM, saves nothing half, and gives its batch back.
            tasks.cancel_scope.cancel()

    anyio.run(serve)
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="workers.process", description=__doc__)
    parser.add_argument("--pool", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--queue", action="append", required=True)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

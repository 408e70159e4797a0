"""`python -m workers.pods --pool P --name N`: one Kubernetes Job for each flow run of an isolated trial.

It starts Jobs and takes away those of cancelled flow runs; it measures nothing. SIGTERM or SIGINT: exit 0, the Jobs
live on, and whoever comes next knows them by their names.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from workers.health import Liveness, served

if TYPE_CHECKING:
    from workers.trial_jobs import TrialJobs

POLL_SECONDS = 1.0
"""How often Prefect is asked for work."""
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def main(arguments: list[str]) -> int:
    """Serve the pool until told to stop."""
    options = _parse(arguments)
    # Prefect reads its settings when it is imported.
    os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", str(POLL_SECONDS))
    os.environ.setdefault("PREFECT_WORKER_PREFETCH_SECONDS", "0")
    # Else it watches, and needs the right to, the pods of the whole cluster (prefect#22208).
    os.environ.setdefault("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES", options.namespace)
    liveness = Liveness()
    with served(liveness, options.health_port):
        import anyio

        from workers.trial_jobs import TrialJobs

        anyio.run(_serve, TrialJobs(options.pool, options.name), options.namespace, liveness)
    return 0


async def _serve(worker: TrialJobs, namespace: str, liveness: Liveness) -> None:
    import anyio

    from workers.cancelled_jobs import keep_away

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.start)
        tasks.start_soon(keep_away, namespace, liveness)
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                break
        tasks.cancel_scope.cancel()


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="workers.pods", description=__doc__)
    parser.add_argument("--pool", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--namespace", default=_own_namespace(), help="where Jobs are made; its own by default")
    parser.add_argument("--health-port", type=int, help="serves /livez there")
    return parser.parse_args(arguments)


def _own_namespace() -> str:
    try:
        return NAMESPACE_FILE.read_text().strip()
    except OSError:
        return "default"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

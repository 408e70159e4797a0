"""`python -m app.processes PROCESS`: one process of the control plane, as a pod runs it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from importlib import import_module

from app.processes.logs import log_as_json


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    log_as_json()
    if options.process == "wait-tcp":
        from app.processes import wait

        return asyncio.run(wait.for_port(options.host, options.port, options.seconds))
    from app.settings import Settings

    settings = Settings()
    if options.process == "wait":
        from app.processes import wait

        return asyncio.run(wait.for_revision(settings, options.seconds))
    if options.process == "migrate":
        from app.processes import migrate

        return asyncio.run(migrate.main(settings))
    from app.processes.serving import run_until_signal

    # A process imports its own parts only: the API has no use for a Kubernetes client.
    process = import_module(f"app.processes.{options.process}")
    return asyncio.run(run_until_signal(process.serve(settings)))


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="app.processes", description=__doc__)
    processes = parser.add_subparsers(dest="process", required=True)
    processes.add_parser("api", help="the public and the internal API")
    processes.add_parser("dispatcher", help="relay and reconcilers")
    processes.add_parser("metrics", help="queue metrics and the external metrics API")
    processes.add_parser("migrate", help="bring database, bucket and first keys to what this version needs")
    wait = processes.add_parser("wait", help="until the database is at this version's revision")
    port = processes.add_parser("wait-tcp", help="until something listens")
    port.add_argument("host")
    port.add_argument("port", type=int)
    for one in (wait, port):
        one.add_argument("--seconds", type=float, default=600.0, help="then give up with exit code 1")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

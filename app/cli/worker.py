"""`worker start`: this machine measures for a corepoint that runs elsewhere."""

from __future__ import annotations

import os
import socket
import sys
from importlib.util import find_spec
from typing import Annotated
from urllib.parse import urlsplit

import typer

from app.cli.exits import CommandError, UsageError
from app.contracts.states import QueueName

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run a worker on this machine for a corepoint elsewhere.",
)
NEEDED = ("prefect", "sklearn", "pyarrow")  # of the extra `worker`, what nothing else brings together


@app.callback()
def _group() -> None:
    """Run a worker on this machine for a corepoint elsewhere."""


@app.command()
def start(
    *,
    queue: Annotated[list[QueueName], typer.Option(help="Whose batches it takes; may be given several times.")],
    server_internal: Annotated[
        str | None,
        typer.Option(envvar="COREPOINT_INTERNAL_URL", metavar="URL", help="The internal API, port 8788 by default."),
    ] = None,
    prefect: Annotated[
        str | None, typer.Option(envvar="PREFECT_API_URL", metavar="URL", help="Prefect's API; ends with /api.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(envvar="COREPOINT_WORKER_NAME", help="Unique among the workers; the host's name by default."),
    ] = None,
    pool: Annotated[str, typer.Option(help="Prefect's work pool.")] = "corepoint",
    limit: Annotated[int, typer.Option(min=1, help="Batches at once; more than one disturb each other's timings.")] = 1,
    health_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Serve /livez there, for whatever watches the process.")
    ] = None,
) -> None:
    """Take batches and measure them here. Ctrl-C finishes the sample and gives the batch back; twice ends at once."""
    _demand_packages()
    chosen = name or socket.gethostname()
    if "/" in chosen or "%" in chosen:
        raise UsageError(f"{chosen!r} cannot name a worker: it holds / or %", "Choose another with --name.")
    environment = {
        **os.environ,
        "COREPOINT_INTERNAL_URL": _url(server_internal, "--server-internal", "COREPOINT_INTERNAL_URL", 8788),
        "PREFECT_API_URL": _url(prefect, "--prefect", "PREFECT_API_URL", 4200),
        **_api_key(),
    }
    _demand_object_store(environment)
    command = [sys.executable, "-m", "workers.process", "--pool", pool, "--name", chosen, "--limit", str(limit)]
    command += [argument for one in queue for argument in ("--queue", one.value)]
    command += ["--health-port", str(health_port)] if health_port else []
    sys.stdout.flush()
    # In place of this process: signals reach the worker itself, and nothing of the command line stays in memory.
    os.execve(command[0], [*command, "--verify"], environment)  # noqa: S606 - no shell is wanted


def _demand_packages() -> None:
    missing = [package for package in NEEDED if find_spec(package) is None]
    if missing:
        raise CommandError(f"{missing[0]} is not installed", "pip install 'corepoint[worker]'")


def _url(given: str | None, option: str, variable: str, port: int) -> str:
    if not given:
        hint = f"Give it with {option} or {variable}. From a cluster: kubectl port-forward, for example to {port}."
        raise UsageError(f"the address for {option} is missing", hint)
    parts = urlsplit(given)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise UsageError(f"{option}: {given!r} is no URL of a server", f"For example: http://127.0.0.1:{port}")
    return given.rstrip("/")


def _api_key() -> dict[str, str]:
    """Of the environment or the configuration file; none is right where the API asks for none."""
    from app.cli.settings import connection

    key = connection(None).api_key
    return {"COREPOINT_API_KEY": key} if key else {}


def _demand_object_store(environment: dict[str, str]) -> None:
    kind = environment.get("COREPOINT_OBJECTS__KIND", "")
    if kind not in {"s3", "folder"}:
        raise UsageError(
            "COREPOINT_OBJECTS__KIND is not set: datasets and results pass through the object store",
            "For MinIO or S3: COREPOINT_OBJECTS__KIND=s3 with __ENDPOINT, __BUCKET, __ACCESS_KEY and __SECRET_KEY.",
        )
    needed = "COREPOINT_OBJECTS__ROOT" if kind == "folder" else "COREPOINT_OBJECTS__ENDPOINT"
    if kind == "folder" and not environment.get(needed):
        raise UsageError(f"{needed} is not set", "The folder that the API and all workers share.")
    keys = [environment.get(f"COREPOINT_OBJECTS__{part}") for part in ("ACCESS_KEY", "SECRET_KEY")]
    if kind == "s3" and environment.get(needed) and not all(keys) and "AWS_ACCESS_KEY_ID" not in environment:
        raise UsageError(
            f"the credentials of the object store at {environment[needed]} are missing",
            "Set COREPOINT_OBJECTS__ACCESS_KEY and COREPOINT_OBJECTS__SECRET_KEY; "
            "in a cluster they are in the Secret of the release.",
        )

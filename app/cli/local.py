"""`up` and `demo`: the one place where the command line starts the system itself instead of speaking to one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.exits import CommandError

DATA_DIR = Path(".corepoint")  # as the demo's, so that `up` afterwards shows what the demo measured
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder for database, objects and logs; .corepoint by default."),
]


def up(
    *,
    data_dir: DataDir = None,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the API.")] = 8787,
    internal_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port that workers report to.")] = 8788,
    prefect_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the Prefect server.")] = 8789,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the MLflow server.")] = 8790,
    any_ports: Annotated[bool, typer.Option("--any-ports", help="Take free ports where these are in use.")] = False,
) -> None:
    """Run everything on this machine: API, dispatcher, Prefect, MLflow, a worker. Ctrl-C stops it."""
    try:
        from app.embedded.place import Ports
        from app.embedded.up import main
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    ports = Ports(public=port, internal=internal_port, prefect=prefect_port, mlflow=mlflow_port)
    raise typer.Exit(main(data_dir or DATA_DIR, ports, any_ports))


def demo(
    data_dir: DataDir = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the system running afterwards.")] = False,
) -> None:
    """Compare DBSCAN implementations on real data on this machine, and write the report."""
    try:
        from app.embedded.demo import main
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    raise typer.Exit(main(data_dir=data_dir, keep=keep))


def _not_installed(error: ModuleNotFoundError) -> CommandError:
    return CommandError(f"{error.name} is not installed", "pip install 'corepoint[embedded]'")


ALL = (up, demo)

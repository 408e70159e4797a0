"""`schedule`: when Prefect starts runs of an experiment by itself."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.output import Format
from app.cli.verbs import Output, Server

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Show, set, pause, resume or remove the schedule of an experiment.",
)
Experiment = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Name or id.")]


@app.callback()
def _group() -> None:
    """Show, set, pause, resume or remove the schedule of an experiment."""


@app.command()
def get(experiment: Experiment, output: Output = Format.TABLE, server: Server = None) -> None:
    """Show when it starts runs, and what becomes of missed times."""
    from app.cli import scheduling

    scheduling.get(experiment, output, server)


@app.command("set")
def replace(
    experiment: Experiment,
    *,
    cron: Annotated[str | None, typer.Option(help='Five fields, e.g. "0 5 * * 1-5".')] = None,
    every: Annotated[str | None, typer.Option(metavar="DURATION", help="e.g. 90m, 6h, 7d; a minute at least.")] = None,
    anchor: Annotated[
        str | None, typer.Option(metavar="TIME", help="What --every is counted from, e.g. 2026-01-05T06:00:00Z.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="Of --cron, e.g. Europe/Berlin; UTC by default.")] = None,
    catch_up: Annotated[
        str | None, typer.Option(metavar="once|skip", help="Missed times: each run once, or skipped (default).")
    ] = None,
    paused: Annotated[bool, typer.Option("--paused", help="It begins with `corepoint schedule resume`.")] = False,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Start runs by this schedule from now on, in place of the one before."""
    from app.cli import scheduling

    asked = scheduling.Asked(cron, every, anchor, timezone, catch_up, paused)
    scheduling.replace(experiment, asked, output, server)


@app.command()
def pause(experiment: Experiment, output: Output = Format.TABLE, server: Server = None) -> None:
    """Start no runs until `resume`; times that pass meanwhile are not made up for."""
    from app.cli import scheduling

    scheduling.change(experiment, "pause", output, server)


@app.command()
def resume(experiment: Experiment, output: Output = Format.TABLE, server: Server = None) -> None:
    """Start runs again, from the next planned time on."""
    from app.cli import scheduling

    scheduling.change(experiment, "resume", output, server)


@app.command()
def delete(experiment: Experiment, server: Server = None) -> None:
    """Remove the schedule; runs that exist go on."""
    from app.cli import scheduling

    scheduling.delete(experiment, server)

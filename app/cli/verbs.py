"""The commands' signatures and help; each imports its work when it runs, so that --help is immediate."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.cli.output import Format

Server = Annotated[
    str | None,
    typer.Option("--server", envvar="COREPOINT_SERVER", help="URL of the API; http://127.0.0.1:8787 by default."),
]
Output = Annotated[Format, typer.Option("-o", "--output", help="table, wide, json, yaml or name (kind/name).")]
KindWord = Annotated[str, typer.Argument(metavar="KIND", help="experiment, run, dataset, algorithm, …; plural too.")]
RunReference = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="Id, 6 or more of its first digits, or an experiment's name for its latest run."
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the run has ended; exit 5 unless it succeeded.")]
Urgent = Annotated[
    bool, typer.Option("--urgent", help="Measure on the queue priority, before others, what fits the queue default.")
]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="DURATION", help="e.g. 90, 90s, 10m, 2h; then exit 124.")
]


class ExportFormat(StrEnum):
    JSON = "json"
    CSV = "csv"
    HTML = "html"


def get(
    kind: KindWord,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|ID]", help="One thing; for trials, batches and events: the run they are of."),
    ] = None,
    *,
    experiment: Annotated[str | None, typer.Option(help="Only runs of this experiment.")] = None,
    state: Annotated[str | None, typer.Option(help="Only runs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 100,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """List experiments, runs, trials, batches, datasets, algorithms or events, or show one."""
    from app.cli import reading

    selection = reading.Selection(limit, experiment, state)
    reading.get(kind, name, selection, output, server)


def describe(
    kind: KindWord,
    name: Annotated[str | None, typer.Argument(metavar="NAME|ID")] = None,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Show everything about one thing: a run with its failures, a dataset's profile, an algorithm's parameters."""
    from app.cli import describing

    describing.describe(kind, name, output, server)


def create(
    file: Annotated[str, typer.Option("-f", "--filename", metavar="FILE|-", help="YAML or JSON; - is stdin.")],
    *,
    wait: Wait = False,
    no_run: Annotated[bool, typer.Option("--no-run", help="Create experiments without starting a run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; write nothing.")] = False,
    server_path: Annotated[
        bool, typer.Option("--server-path", help="`path:` names files of the server; upload nothing.")
    ] = False,
    urgent: Urgent = False,
    timeout: Timeout = None,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Create the datasets and experiments of a file, and start the experiments' first runs."""
    from app.cli import creating

    options = creating.Options(
        wait=wait, start=not no_run, dry_run=dry_run, server_path=server_path, timeout=timeout, urgent=urgent
    )
    creating.create(file, options, output, server)


def run(
    experiment: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Name or id.")],
    *,
    urgent: Urgent = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Start a run of an experiment."""
    from app.cli import creating

    creating.start(experiment, urgent, wait, timeout, output, server)


def preview(
    experiment: Annotated[str | None, typer.Argument(metavar="[EXPERIMENT]", help="Name or id.")] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option("-f", "--file", metavar="FILE", help="Create what it describes, without a run; - reads stdin."),
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Of each dataset, at most; 1,000 by default.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; start nothing.")] = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Try an experiment on a few rows, before others: every step of a run, within seconds. Not a measurement."""
    from app.cli import previewing

    options = previewing.Options(rows=rows, dry_run=dry_run, wait=wait, timeout=timeout)
    previewing.preview(experiment, file, options, output, server)


def wait(
    reference: Annotated[str, typer.Argument(metavar="RUN|dataset/NAME", help="What to wait for.")],
    timeout: Timeout = None,
    output: Output = Format.TABLE,
    server: Server = None,
) -> None:
    """Wait until a run has ended or a dataset is ready. Exit 5 if it failed, 124 after the timeout."""
    from app.cli import waiting

    waiting.wait(reference, timeout, output, server)


def compare(run: RunReference, output: Output = Format.TABLE, server: Server = None) -> None:
    """Compare a run's implementations: same result? how much faster, with an interval? how much memory?"""
    from app.cli import comparing

    comparing.compare(run, output, server)


def logs(run: RunReference, server: Server = None) -> None:
    """Print the log lines of a run's batches."""
    from app.cli import reading

    reading.logs(run, server)


def cancel(run: RunReference, output: Output = Format.TABLE, server: Server = None) -> None:
    """Ask a run to stop; finished trials keep their results."""
    from app.cli import creating

    creating.cancel(run, output, server)


def pin(run: RunReference, output: Output = Format.TABLE, server: Server = None) -> None:
    """Keep a run with its manifests and artifacts, however old it gets."""
    from app.cli import creating

    creating.pin(run, True, output, server)


def unpin(run: RunReference, output: Output = Format.TABLE, server: Server = None) -> None:
    """Let a pinned run grow old as others do."""
    from app.cli import creating

    creating.pin(run, False, output, server)


def export(
    run: RunReference,
    form: Annotated[ExportFormat, typer.Option("--format", help="json, csv (one row per trial) or html (the report).")],
    target: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Written whole or not at all; else stdout.")
    ] = None,
    server: Server = None,
) -> None:
    """Write a run's comparison to a file or stdout."""
    from app.cli import exporting

    exporting.export(run, form.value, target, server)


def delete(
    kind: KindWord,
    name: Annotated[str | None, typer.Argument(metavar="NAME|ID")] = None,
    server: Server = None,
) -> None:
    """Delete an experiment with its runs, or a dataset."""
    from app.cli import creating

    creating.delete(kind, name, server)


def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    typer.echo(f"corepoint {installed('corepoint')}")


ALL = (get, describe, create, run, preview, wait, compare, logs, cancel, pin, unpin, export, delete, version)

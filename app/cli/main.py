"""Entry point `corepoint`. Light on purpose: what a command needs is imported when the command runs."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from app.cli import local, schedule, verbs, worker
from app.cli.exits import EXIT_CODES_HELP, CommandError
from app.cli.output import note


class _Commands(TyperGroup):
    """Turns a CommandError of any command into its lines on stderr and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CommandError as error:
            for line in error.lines():
                note(line)
            raise typer.Exit(int(error.code)) from error

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Benchmarks clustering implementations: same result? how much faster? how much memory?\n\n"
    "The API key is read from COREPOINT_API_KEY or api_key in ~/.config/corepoint/config.toml, never from an option.",
    epilog=EXIT_CODES_HELP,
)
for _verb in verbs.ALL:
    app.command()(_verb)
for _verb in local.ALL:
    app.command()(_verb)
app.add_typer(schedule.app, name="schedule")
app.add_typer(worker.app, name="worker")


def run() -> None:
    """Console script; ends the process with a command's exit code."""
    app()


if __name__ == "__main__":
    run()

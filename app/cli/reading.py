"""`get` and `logs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.cli.client import Client, parse, segment
from app.cli.exits import CommandError, UsageError
from app.cli.kinds import RUN, TRIAL, Kind, split
from app.cli.output import Format, Table, clean, data, dump, note, tables
from app.cli.settings import connection


@dataclass(frozen=True)
class Selection:
    """At most `limit` things; runs of one experiment, or in one state, if these are given."""

    limit: int
    experiment: str | None = None
    state: str | None = None

    @property
    def filters(self) -> dict[str, str]:
        wanted = {"experiment": self.experiment, "state": self.state}
        return {key: value for key, value in wanted.items() if value is not None}


def get(word: str, name: str | None, selection: Selection, form: Format, server: str | None) -> None:
    kind, name = split(word, name)
    if kind is not RUN and selection.filters:
        raise UsageError("--experiment and --state filter runs only")
    with Client(connection(server)) as client:
        if kind.of_run:
            if name is None:
                raise UsageError(f"name the run whose {kind.plural} you want", f"corepoint get {kind.plural} RUN")
            items, more = client.pages(f"/v1/runs/{client.run_id(name)}/{kind.plural}", selection.limit)
        elif name is not None:
            _show(kind, [one(client, kind, name)], form, single=True)
            return
        else:
            items, more = client.pages(f"/v1/{kind.plural}", selection.limit, **selection.filters)
    _show(kind, items, form)
    if more:
        note(f"There are more than {selection.limit}; --limit shows more.")


def one(client: Client, kind: Kind, name: str) -> Any:
    """One thing of a kind that has its own address, as the server said it."""
    if kind is RUN:
        name = client.run_id(name)
    elif kind.of_run and kind is not TRIAL:
        raise UsageError(f"{kind.plural} are listed per run", f"corepoint get {kind.plural} RUN")
    return client.get(f"/v1/{kind.plural}/{segment(name)}")


def logs(reference: str, server: str | None) -> None:
    with Client(connection(server)) as client:
        answer = client.get(f"/v1/runs/{client.run_id(reference)}/logs")
    for line in answer["lines"]:
        data(clean(line))
    if not answer["available"]:
        raise CommandError("logs are not available now", "The run's results are; try again later for the log lines.")
    if not answer["lines"]:
        note("No log lines yet.")


def _show(kind: Kind, items: list[Any], form: Format, single: bool = False) -> None:
    if form in {Format.JSON, Format.YAML}:
        dump(items[0] if single else {"items": items}, form)
    elif form is Format.NAME:
        for item in items:
            data(kind.reference(item))
    else:
        empty = f"No {kind.plural} found." + _next_step(kind)
        tables([Table(kind.columns, [parse(kind.model, item) for item in items], empty=empty)], form)


def _next_step(kind: Kind) -> str:
    return {
        "experiments": " Create one: `corepoint create -f FILE`.",
        "datasets": " Create one: `corepoint create -f FILE`.",
        "runs": " Start one: `corepoint run EXPERIMENT`.",
    }.get(kind.plural, "")

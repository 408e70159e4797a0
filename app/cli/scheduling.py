"""The work of `schedule`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.cli.client import Client, parse, segment
from app.cli.exits import NotFoundError, UsageError
from app.cli.kinds import schedule, utc
from app.cli.output import Column, Format, Table, data, dump, tables
from app.cli.settings import connection
from app.cli.waiting import seconds
from app.contracts.views import ExperimentView


@dataclass(frozen=True)
class Asked:
    """The options of `schedule set`, as given."""

    cron: str | None
    every: str | None
    anchor: str | None
    timezone: str | None
    catch_up: str | None
    paused: bool

    def body(self) -> dict[str, Any]:
        """Raises UsageError."""
        if (self.cron is None) == (self.every is None):
            raise UsageError("give one of --cron and --every")
        given = {
            "cron": self.cron,
            "intervalSeconds": None if self.every is None else int(seconds(self.every)),
            "anchor": self.anchor,
            "timezone": self.timezone,
            "catchUp": self.catch_up,
            "paused": self.paused or None,
        }
        return {name: value for name, value in given.items() if value is not None}


_COLUMNS = (
    Column("EXPERIMENT", lambda e: e.name),
    Column("SCHEDULE", schedule),
    Column("NEXT", lambda e: utc(e.next_scheduled_for)),
    Column("CATCH UP", lambda e: e.spec.schedule.catch_up),
    Column("ACCOUNTED UNTIL", lambda e: utc(e.scheduled_until), wide=True),
)


def get(name: str, form: Format, server: str | None) -> None:
    with Client(connection(server)) as client:
        _show(client.get(_experiment(name)), form)


def replace(name: str, asked: Asked, form: Format, server: str | None) -> None:
    body = asked.body()
    with Client(connection(server)) as client:
        _show(client.put(f"{_experiment(name)}/schedule", body), form)


def change(name: str, verb: str, form: Format, server: str | None) -> None:
    with Client(connection(server)) as client:
        _show(client.post(f"{_experiment(name)}/schedule/{verb}"), form)


def delete(name: str, server: str | None) -> None:
    with Client(connection(server)) as client:
        client.delete(f"{_experiment(name)}/schedule")
    data(f"schedule of experiment/{_plain(name)} deleted")


def _show(raw: Any, form: Format) -> None:
    view = parse(ExperimentView, raw)
    if view.spec.schedule is None:
        hint = f'Set one: `corepoint schedule set {view.name} --cron "0 5 * * *"`.'
        raise NotFoundError(f"experiment {view.name!r} has no schedule", hint)
    if form in {Format.JSON, Format.YAML}:
        times = {name: raw.get(name) for name in ("next_scheduled_for", "scheduled_until")}
        dump({"experiment": view.name, **raw["spec"]["schedule"], **times}, form)
    elif form is Format.NAME:
        data(f"experiment/{view.name}")
    else:
        tables([Table(_COLUMNS, [view])], form)


def _experiment(name: str) -> str:
    return f"/v1/experiments/{segment(_plain(name))}"


def _plain(name: str) -> str:
    return name.removeprefix("experiment/")

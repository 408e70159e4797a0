"""`schedule`: what is sent, and what a person sees of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.contracts.experiment import Schedule
from app.contracts.problems import ProblemCode
from app.contracts.views import ExperimentView
from tests.unit.cli.conftest import Run
from tests.unit.cli.stub import Stub, problem
from tests.unit.cli.views import experiment_view

HERE = "/v1/experiments/cities/schedule"
NEXT = datetime(2026, 1, 5, 4, tzinfo=UTC)


def scheduled(**schedule: Any) -> ExperimentView:
    view = experiment_view()
    spec = view.spec.model_copy(update={"schedule": Schedule.model_validate(schedule)})
    return view.model_copy(update={"spec": spec, "next_scheduled_for": NEXT, "scheduled_until": NEXT})


NIGHTLY = {"cron": "0 5 * * 1-5", "timezone": "Europe/Berlin", "catchUp": "once"}


def test_a_schedule_is_shown_with_its_next_time(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/experiments/cities", scheduled(**NIGHTLY))
    heading, line = corepoint("schedule", "get", "experiment/cities").stdout.splitlines()
    assert heading.split() == ["EXPERIMENT", "SCHEDULE", "NEXT", "CATCH", "UP"]
    for shown in ("cities", "0 5 * * 1-5 Europe/Berlin", "2026-01-05T04:00:00Z", "once"):
        assert shown in line
    dumped = json.loads(corepoint("schedule", "get", "cities", "-o", "json").stdout)
    assert (dumped["experiment"], dumped["cron"], dumped["catchUp"]) == ("cities", "0 5 * * 1-5", "once")
    assert "next_scheduled_for" in dumped


def test_without_a_schedule_it_says_how_to_set_one(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/experiments/cities", experiment_view())
    done = corepoint("schedule", "get", "cities")
    assert done.exit_code == 3
    assert "has no schedule" in done.stderr
    assert "corepoint schedule set cities --cron" in done.stderr


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (["--cron", "0 5 * * 1-5", "--timezone", "Europe/Berlin", "--catch-up", "once"], NIGHTLY),
        (["--every", "90m", "--paused"], {"intervalSeconds": 5400, "paused": True}),
        (
            ["--every", "7d", "--anchor", "2026-01-05T06:00:00Z"],
            {"intervalSeconds": 604_800, "anchor": "2026-01-05T06:00:00Z"},
        ),
    ],
    ids=["cron", "paused", "anchor"],
)
def test_what_is_not_given_is_left_to_the_server(
    corepoint: Run, stub: Stub, options: list[str], sent: dict[str, Any]
) -> None:
    stub.on(f"PUT {HERE}", scheduled(**NIGHTLY))
    corepoint("schedule", "set", "cities", *options)
    assert [(asked.method, asked.path, asked.json) for asked in stub.asked] == [("PUT", HERE, sent)]


@pytest.mark.parametrize("options", [[], ["--cron", "0 5 * * *", "--every", "1h"], ["--every", "soon"]])
def test_an_ambiguous_schedule_is_not_sent(corepoint: Run, stub: Stub, options: list[str]) -> None:
    assert corepoint("schedule", "set", "cities", *options).exit_code == 2
    assert not stub.asked


def test_it_is_paused_resumed_and_removed(corepoint: Run, stub: Stub) -> None:
    stub.on(f"POST {HERE}/pause", scheduled(**NIGHTLY, paused=True))
    stub.on(f"POST {HERE}/resume", scheduled(**NIGHTLY))
    stub.on(f"DELETE {HERE}", None)
    assert "0 5 * * 1-5 Europe/Berlin (paused)" in corepoint("schedule", "pause", "cities").stdout
    assert corepoint("schedule", "resume", "cities", "-o", "name").stdout == "experiment/cities\n"
    assert corepoint("schedule", "delete", "cities").stdout == "schedule of experiment/cities deleted\n"


def test_a_refusal_is_told_with_its_hint(corepoint: Run, stub: Stub) -> None:
    stub.on(f"POST {HERE}/pause", problem(ProblemCode.STATE_CONFLICT, "The experiment 'cities' has no schedule."))
    done = corepoint("schedule", "pause", "cities")
    assert (done.exit_code, "has no schedule" in done.stderr) == (1, True)

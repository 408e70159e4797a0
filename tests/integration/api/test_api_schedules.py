"""Schedules over the API: every planned time has one run, whoever comes for it and whatever changes meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from api_builders import ENVIRONMENT, World
from sqlalchemy import select

from app.contracts.states import RunState
from app.db.models import Experiment, Run, Work, WorkKind
from app.dispatcher import missed
from app.dispatcher.context import Context

HOURLY = {"intervalSeconds": 3600}
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
anywhere = pytest.mark.parametrize("backend", ["sqlite+folder"], indirect=True)
"""What does not depend on the database's locks or types."""


@pytest.fixture
def settings_values() -> dict[str, Any]:
    return {"schedules": {"missed_limit": 5, "page": 2}}


async def passes(world: World, span: timedelta) -> None:
    """So much time goes by, in which nobody does anything."""
    async with world.resources.database.write() as session:
        for row in await session.scalars(select(Experiment)):
            row.created_at -= span
            row.scheduled_until = row.scheduled_until and row.scheduled_until - span
            row.scheduled_next = row.scheduled_next and row.scheduled_next - span


async def seen(world: World, name: str = "first") -> dict[str, Any]:
    found: dict[str, Any] = (await world.api.get(f"/v1/experiments/{name}")).json()
    return found


async def next_time(world: World) -> datetime:
    return datetime.fromisoformat((await seen(world))["next_scheduled_for"])


async def claim(world: World, time: datetime, flow_run_id: str = "scheduled-1") -> httpx.Response:
    """Of a flow run that Prefect planned for `time`."""
    asked = {
        "experiment_id": (await seen(world))["id"],
        "scheduled_for": time.isoformat(),
        "flow_run_id": flow_run_id,
        "worker": "w",
        "environment": ENVIRONMENT.model_dump(mode="json"),
    }
    return await world.internal.post("/internal/v1/batches:claim", json=asked)


async def change(world: World, method: str, path: str = "", body: Any = None) -> dict[str, Any]:
    answer = await world.api.request(method, f"/v1/experiments/first/schedule{path}", json=body)
    assert answer.status_code == (204 if method == "DELETE" else 202), answer.text
    return await seen(world)


async def runs(world: World) -> list[Run]:
    """By planned time."""
    async with world.resources.database.read() as session:
        return list(await session.scalars(select(Run).order_by(Run.scheduled_for)))


async def times(world: World) -> Counter[datetime | None]:
    return Counter(run.scheduled_for for run in await runs(world) if run.state is not RunState.CANCELLED)


async def caught_up(context: Context) -> int:
    """Turns until nothing is left; how many."""
    turns = 0
    while await missed.reconcile(context):
        turns += 1
    return turns


@anywhere
async def test_an_experiment_says_when_its_schedule_wants_the_next_run(world: World) -> None:
    await world.dataset()
    created = await world.experiment(schedule=HOURLY)
    expected = datetime.fromisoformat(created["created_at"]).replace(microsecond=0) + HOUR
    assert await next_time(world) == expected
    assert created["scheduled_until"] == created["created_at"]
    unscheduled = await world.experiment("second")
    assert (unscheduled["next_scheduled_for"], unscheduled["scheduled_until"]) == (None, None)


@anywhere
@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ({"cron": "0 25 * * *"}, "it names no time: Bad hour"),
        ({"cron": "0 0 30 2 *"}, "it names no time: Bad day-of-month"),
        ({"cron": "@midnight"}, "five fields are needed"),
        ({"cron": "0 0 */2 * 1"}, "cannot be combined"),
        ({"cron": "0 5 * * *", "timezone": "Mars/Olympus"}, "there is no time zone 'Mars/Olympus'"),
        ({"cron": "0 5 * * *", "anchor": "2026-01-01T00:00:00Z"}, "only an interval has an anchor"),
        ({"intervalSeconds": 60, "anchor": "0001-01-01T00:00:00+14:00"}, "a year from 2000 to 2100"),
        ({"cron": "5-5 * * * *"}, "a range needs two ends"),
        ({}, "either cron or intervalSeconds"),
    ],
)
async def test_a_schedule_that_prefect_could_not_keep_is_refused(
    world: World, schedule: dict[str, Any], said: str
) -> None:
    await world.dataset()
    await world.experiment()
    answer = await world.api.put("/v1/experiments/first/schedule", json=schedule)
    assert answer.status_code == 422
    assert said in answer.text


async def test_a_schedule_is_set_paused_resumed_and_removed(world: World) -> None:
    await world.dataset()
    experiment = await world.experiment()
    assert (await world.api.post("/v1/experiments/first/schedule/pause")).json()["code"] == "state_conflict"
    after = await change(world, "PUT", body={"cron": "0 5 * * *", "timezone": "Europe/Berlin"})
    assert after["next_scheduled_for"] is not None
    assert (await change(world, "POST", "/pause"))["next_scheduled_for"] is None
    paused = (await change(world, "POST", "/pause"))["spec"]["schedule"]
    assert (paused["paused"], paused["cron"]) == (True, "0 5 * * *")
    assert (await change(world, "POST", "/resume"))["next_scheduled_for"] == after["next_scheduled_for"]
    for _ in range(2):
        gone = await change(world, "DELETE")
        assert (gone["spec"]["schedule"], gone["scheduled_until"]) == (None, None)
    async with world.resources.database.read() as session:
        work = await session.get(Work, (WorkKind.EXPERIMENT, UUID(experiment["id"])))
    assert work is not None
    assert work.generation == 5, "asking for what is there already asks for nothing"


async def test_no_run_belongs_to_a_time_that_passed_while_the_schedule_was_paused(
    world: World, context: Context
) -> None:
    await world.dataset()
    await world.experiment(schedule={**HOURLY, "catchUp": "once"})
    wanted = await next_time(world)
    await change(world, "POST", "/pause")
    await passes(world, 3 * HOUR)
    assert await caught_up(context) == 0
    await change(world, "POST", "/resume")
    assert await caught_up(context) == 0
    refused = await claim(world, wanted - 2 * HOUR)
    assert (refused.status_code, refused.json()["code"]) == (409, "stale_attempt")
    assert not await runs(world)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/pause", None), ("DELETE", "", None), ("PUT", "", {"intervalSeconds": 7200})],
    ids=["pause", "delete", "replace"],
)
async def test_a_time_that_came_before_the_schedule_changed_keeps_its_run(
    world: World, method: str, path: str, body: Any
) -> None:
    await world.dataset()
    await world.experiment(schedule=HOURLY)
    await passes(world, HOUR + MINUTE)
    wanted = await next_time(world)
    await change(world, method, path, body)
    (run,) = await runs(world)
    assert (run.scheduled_for, run.state) == (wanted, RunState.PLANNING)
    # Its flow run comes late: the dispatcher has seen to the run already.
    late = await claim(world, wanted)
    assert (late.status_code, late.json()["code"]) == (409, "stale_attempt")
    assert await times(world) == {wanted: 1}


@anywhere
async def test_only_times_that_the_schedule_wants_can_be_claimed(world: World) -> None:
    await world.dataset()
    await world.experiment(schedule=HOURLY)
    await passes(world, HOUR + MINUTE)
    wanted = await next_time(world)
    before, between, far = wanted - HOUR, wanted + MINUTE / 2, wanted + 2 * HOUR
    for time in (before, between, far):
        answer = await claim(world, time)
        assert (answer.status_code, answer.json()["code"]) == (409, "stale_attempt")
    # Asking for a time between accounts for the one before it: none is left out.
    assert await times(world) == {wanted: 1}
    early = await claim(world, wanted + HOUR)
    assert early.status_code == 200, "a person started the next one in Prefect"


@anywhere
async def test_missed_times_are_run_once_each_in_steps(world: World, context: Context) -> None:
    await world.dataset()
    await world.experiment(schedule={**HOURLY, "catchUp": "once"})
    first = await next_time(world)
    await passes(world, 4 * HOUR + MINUTE)
    assert await caught_up(context) == 2
    span = 4 * HOUR + MINUTE
    assert await times(world) == {first - span + number * HOUR: 1 for number in range(4)}
    assert await next_time(world) == first - span + 4 * HOUR


async def test_of_a_long_outage_the_last_times_are_run_and_what_is_left_out_is_told(
    world: World, context: Context
) -> None:
    await world.dataset()
    await world.experiment(schedule={**HOURLY, "catchUp": "once"})
    await passes(world, 100 * HOUR + MINUTE)
    await caught_up(context)
    trace, *others = await runs(world)
    assert [run.state for run in others] == [RunState.PLANNING] * 5
    assert trace.state is RunState.CANCELLED
    (event,) = (await world.api.get(f"/v1/runs/{trace.id}/events")).json()["items"]
    assert event["kind"] == "schedule_missed"
    assert "no more than 5 times are looked back at" in event["message"]


async def test_skipped_times_leave_one_trace_and_a_late_one_is_run_all_the_same(world: World, context: Context) -> None:
    await world.dataset()
    await world.experiment(schedule={**HOURLY, "catchUp": "skip"})
    await passes(world, 3 * HOUR + MINUTE)
    await caught_up(context)
    trace, late = await runs(world)
    assert (trace.state, trace.finished_at is not None, late.state) == (RunState.CANCELLED, True, RunState.PLANNING)
    (event,) = (await world.api.get(f"/v1/runs/{trace.id}/events")).json()["items"]
    assert (event["kind"], event["data"]["times"]) == ("schedule_missed", 2)
    assert late.scheduled_for is not None
    assert event["data"]["last"] == (late.scheduled_for - HOUR).isoformat()
    assert (await world.api.delete("/v1/experiments/first")).status_code == 409, "the late one has not ended"


async def test_a_claim_that_comes_too_late_is_refused_and_says_so(world: World, context: Context) -> None:
    await world.dataset()
    await world.experiment(schedule=HOURLY)
    await passes(world, HOUR + 10 * MINUTE)
    wanted = await next_time(world)
    answer = await claim(world, wanted)
    assert (answer.status_code, answer.json()["code"]) == (409, "stale_attempt")
    (trace,) = await runs(world)
    assert (trace.scheduled_for, trace.state) == (wanted, RunState.CANCELLED)
    assert await caught_up(context) == 0


async def test_many_come_for_the_same_time_while_the_schedule_changes_and_one_run_is_made(
    world: World, context: Context
) -> None:
    await world.dataset()
    await world.experiment(schedule=HOURLY)
    await passes(world, HOUR + MINUTE)
    wanted = await next_time(world)
    answers = await asyncio.gather(
        *(claim(world, wanted, f"scheduled-{number}") for number in range(4)),
        missed.reconcile(context),
        world.api.post("/v1/experiments/first/schedule/pause"),
        missed.reconcile(context),
        world.api.post("/v1/experiments/first/schedule/resume"),
        *(claim(world, wanted, f"scheduled-{number}") for number in range(4, 8)),
    )
    statuses = Counter(answer.status_code for answer in answers if isinstance(answer, httpx.Response))
    assert set(statuses) <= {200, 202, 409}
    assert statuses[200] <= 1
    assert await times(world) == {wanted: 1}


async def test_an_experiment_of_before_schedules_were_accounted_for_gets_its_next_time(
    world: World, context: Context
) -> None:
    await world.dataset()
    await world.experiment(schedule=HOURLY)
    await world.experiment("second")
    wanted = await next_time(world)
    async with world.resources.database.write() as session:
        for row in await session.scalars(select(Experiment)):
            # As the migration leaves them.
            row.scheduled_until, row.scheduled_next = None, row.created_at - MINUTE
    assert await caught_up(context) == 1
    assert await next_time(world) == wanted
    assert (await seen(world, "second"))["next_scheduled_for"] is None
    assert set(await times(world)) == {None}, "the second one's first run"

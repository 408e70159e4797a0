"""Leases: who is lost, who only could not be heard, and who had finished before it fell silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from api_builders import ENVIRONMENT, World, success
from sqlalchemy import update

from app.clock import now
from app.contracts.measurement import BatchReport
from app.contracts.objects import StoreUnavailableError, outcome_key
from app.contracts.states import BatchState
from app.contracts.store import StoreConfig
from app.db.models import Batch, Dataset
from app.dispatcher import lost, unreported
from app.dispatcher.context import Context
from app.gateways.objects import open_store
from app.runs.listening import heard
from app.settings import LeaseSettings
from tests.part import free_ports

LEASES = LeaseSettings()
LEASE = timedelta(seconds=LEASES.lease_seconds)
BEAT = timedelta(seconds=LEASES.heartbeat_seconds)


async def listened(world: World, begin: datetime, end: datetime) -> None:
    """An API could write heartbeats from `begin` to `end`."""
    moment = begin
    while moment < end:
        async with world.resources.database.write() as session:
            await heard(session, moment, LEASES)
        moment += LEASE / 4
    async with world.resources.database.write() as session:
        await heard(session, end, LEASES)


async def claimed(world: World) -> dict[str, Any]:
    await world.dataset()
    _, (batch, *_) = await world.planned()
    return await world.claimed(batch)


async def falls_silent(world: World, since: datetime) -> None:
    """Nobody who works was heard after `since`."""
    async with world.resources.database.write() as session:
        for table in (Batch, Dataset):
            silent = update(table).where(table.lease_until.is_not(None))
            await session.execute(silent.values(lease_until=since + LEASE))


async def batch_of(world: World, assignment: dict[str, Any]) -> Batch:
    async with world.resources.database.read() as session:
        row = await session.get(Batch, UUID(assignment["batch_id"]))
    assert row is not None
    return row


async def test_a_worker_that_is_silent_for_a_lease_while_others_were_heard_is_lost(
    world: World, context: Context
) -> None:
    assignment = await claimed(world)
    await listened(world, now() - LEASE - BEAT, now())
    await falls_silent(world, now() - LEASE + BEAT)
    assert await lost.reconcile(context) == 0, "its lease has not ended"
    await falls_silent(world, now() - LEASE)
    assert await lost.reconcile(context) == 1
    row = await batch_of(world, assignment)
    assert (row.state, row.attempt) == (BatchState.WAITING, 2)
    assert await lost.reconcile(context) == 0


async def test_nobody_is_lost_while_no_api_could_write_heartbeats(world: World, context: Context) -> None:
    assignment = await claimed(world)
    await falls_silent(world, now() - 2 * LEASE)
    assert await lost.reconcile(context) == 0, "no API has ever listened"
    await listened(world, now() - 3 * LEASE, now() - LEASE)
    assert await lost.reconcile(context) == 0, "nobody listens any more"
    assert (await batch_of(world, assignment)).state is BatchState.RUNNING


async def test_after_an_outage_everybody_has_a_whole_lease_to_be_heard_again(world: World, context: Context) -> None:
    await claimed(world)
    away_since, back = now() - 2 * LEASE, now() - LEASE + BEAT
    await listened(world, now() - 4 * LEASE, away_since)
    await listened(world, back, now())
    await falls_silent(world, away_since)
    assert await lost.reconcile(context) == 0
    await listened(world, now(), back + LEASE)
    late = replace(context, settings=context.settings.model_copy(update={"leases": patient_by(-2 * BEAT)}))
    assert await lost.reconcile(late) == 1, "one lease after it came back"


def patient_by(more: timedelta) -> LeaseSettings:
    return LeaseSettings(lease_seconds=LEASES.lease_seconds + more.total_seconds())


async def test_an_api_that_is_started_again_quickly_interrupts_nothing(world: World, context: Context) -> None:
    await claimed(world)
    await listened(world, now() - 2 * LEASE, now() - LEASE / 2)
    await listened(world, now() - LEASE / 5, now())
    await falls_silent(world, now() - LEASE - BEAT)
    assert await lost.reconcile(context) == 1


async def test_a_dataset_whose_worker_is_silent_is_prepared_again(world: World, context: Context) -> None:
    created = await world.api.post(
        "/v1/datasets", json={"name": "blobs", "source": {"generate": {"kind": "blobs", "n": 1000}}}
    )
    claim = {"dataset_id": created.json()["id"], "attempt": 1, "flow_run_id": "f", "worker": "w"}
    token = (await world.internal.post("/internal/v1/datasets:claim", json=claim)).json()["token"]
    await falls_silent(world, now() - LEASE)
    assert await lost.reconcile(context) == 0
    await listened(world, now() - LEASE - BEAT, now())
    assert await lost.reconcile(context) == 1
    told = await world.internal.post(
        f"/internal/v1/datasets/{created.json()['id']}:report",
        json={"attempt": 1},
        headers={"X-Corepoint-Batch-Token": token},
    )
    assert (told.status_code, told.json()["code"]) == (409, "stale_attempt")


def finish_without_report(world: World, assignment: dict[str, Any]) -> None:
    """The worker wrote all it had to write, and died before it could say so."""
    told = BatchReport(
        batch_id=assignment["batch_id"],
        attempt=assignment["attempt"],
        outcomes=[success(assignment, trial) for trial in assignment["trials"]],
        environment=ENVIRONMENT,
    )
    key = outcome_key(UUID(assignment["run_id"]), UUID(assignment["batch_id"]), assignment["attempt"])
    world.resources.objects.put(key, told.model_dump_json().encode())


async def test_an_outcome_in_the_store_is_adopted_after_three_missed_heartbeats(world: World, context: Context) -> None:
    assignment = await claimed(world)
    finish_without_report(world, assignment)
    assert await unreported.reconcile(context) == 0, "it may report yet"
    await falls_silent(world, now() - 4 * BEAT)
    assert await unreported.reconcile(context) == 1
    assert (await batch_of(world, assignment)).state is BatchState.FINISHED
    assert (await world.run(assignment["run_id"]))["state"] == "succeeded"
    assert await unreported.reconcile(context) == 0


async def test_what_had_finished_before_its_lease_ended_is_a_result_and_not_lost(
    world: World, context: Context
) -> None:
    assignment = await claimed(world)
    finish_without_report(world, assignment)
    await listened(world, now() - LEASE - BEAT, now())
    await falls_silent(world, now() - LEASE)
    assert await lost.reconcile(context) == 0
    assert (await world.run(assignment["run_id"]))["state"] == "succeeded"


@pytest.mark.parametrize("backend", ["sqlite+folder"], indirect=True)
async def test_while_the_store_is_away_nobody_knows_and_nobody_is_lost(world: World, context: Context) -> None:
    assignment = await claimed(world)
    await listened(world, now() - LEASE - BEAT, now())
    await falls_silent(world, now() - LEASE)
    [port] = free_ports(1)
    away = open_store(StoreConfig(kind="s3", endpoint=f"http://127.0.0.1:{port}", access_key="a", secret_key="b"))
    with pytest.raises(StoreUnavailableError):
        await lost.reconcile(replace(context, objects=away))
    assert (await batch_of(world, assignment)).attempt == 1
    assert await lost.reconcile(context) == 1


async def test_a_worker_that_comes_back_too_late_is_refused_and_counted(world: World, context: Context) -> None:
    assignment = await claimed(world)
    await listened(world, now() - LEASE - BEAT, now())
    await falls_silent(world, now() - LEASE)
    assert await lost.reconcile(context) == 1
    beat = await world.say("heartbeat", assignment, progress={})
    assert beat.json()["fenced"]
    report = await world.report(assignment, [success(assignment, trial) for trial in assignment["trials"]])
    assert (report.status_code, report.json()["code"]) == (409, "stale_attempt")
    measures = (await world.internal.get("/metrics")).text
    for verb in ("heartbeat", "report"):
        route = f"/internal/v1/batches/{{batch_id}}:{verb}"
        assert f'corepoint_stale_writes_total{{route="{route}"}} 1.0' in measures
    assert {trial["state"] for trial in await world.trials(assignment["run_id"])} == {"pending"}

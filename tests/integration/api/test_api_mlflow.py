"""Trials in MLflow: each once, whoever writes it, and whenever MLflow is there to be written to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from api_builders import World
from mlflow.tracking import MlflowClient
from sqlalchemy import select, update

from app.clock import now
from app.db.models import Trial
from app.dispatcher import trials
from app.dispatcher.context import Context, NotYetError
from app.gateways.mlflow import TRIAL_TAG, MlflowGateway
from tests.part import free_ports

# What MLflow is told does not depend on our own database.
pytestmark = pytest.mark.parametrize("backend", ["sqlite+folder"], indirect=True)
AWAY_SECONDS = 0.5


@pytest.fixture(scope="module")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MLflow's own store, without a server before it."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def dispatcher(context: Context, tracking_uri: str) -> Iterator[Context]:
    settings = context.settings
    settings = settings.model_copy(update={"mlflow": settings.mlflow.model_copy(update={"away_seconds": AWAY_SECONDS})})
    mlflow = MlflowGateway(tracking_uri, AWAY_SECONDS)
    yield replace(context, settings=settings, mlflow=mlflow)
    mlflow.close()


async def finished(world: World, name: str) -> UUID:
    """A trial that succeeded."""
    await world.dataset()
    run_id = await world.finished(name, algorithms=[{"algorithm": "sklearn-dbscan"}])
    return UUID((await world.trials(run_id))[0]["id"])


async def known_run(world: World, trial_id: UUID) -> str | None:
    async with world.resources.database.read() as session:
        return await session.scalar(select(Trial.mlflow_run_id).where(Trial.id == trial_id))


def in_mlflow(tracking_uri: str, experiment: str, trial_id: UUID) -> list[str]:
    client = MlflowClient(tracking_uri=tracking_uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    runs = client.search_runs([found.experiment_id], f"tags.`{TRIAL_TAG}` = '{trial_id}'")
    return [run.info.run_id for run in runs]


async def test_a_trial_is_written_once_however_often_it_is_looked_at(
    world: World, dispatcher: Context, tracking_uri: str
) -> None:
    trial_id = await finished(world, "once")
    for _ in range(2):
        assert await trials.mirror(dispatcher, trial_id) is None
    assert in_mlflow(tracking_uri, "once", trial_id) == [await known_run(world, trial_id)]


async def test_a_run_whose_creation_nobody_heard_of_is_adopted(
    world: World, dispatcher: Context, tracking_uri: str
) -> None:
    trial_id = await finished(world, "unheard")
    await trials.mirror(dispatcher, trial_id)
    [first] = in_mlflow(tracking_uri, "unheard", trial_id)
    async with world.resources.database.write() as session:
        await session.execute(update(Trial).values(mlflow_run_id=None))
    await trials.mirror(dispatcher, trial_id)
    assert in_mlflow(tracking_uri, "unheard", trial_id) == [first] == [await known_run(world, trial_id)]


async def test_of_two_dispatchers_at_once_one_takes_its_run_away_again(
    world: World, dispatcher: Context, tracking_uri: str
) -> None:
    trial_id = await finished(world, "twice")
    other = MlflowGateway(tracking_uri, AWAY_SECONDS)
    await asyncio.gather(
        trials.mirror(dispatcher, trial_id), trials.mirror(replace(dispatcher, mlflow=other), trial_id)
    )
    other.close()
    assert in_mlflow(tracking_uri, "twice", trial_id) == [await known_run(world, trial_id)]


async def test_while_mlflow_is_away_nobody_waits_for_it_and_few_ask(
    world: World, dispatcher: Context, tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    trial_id = await finished(world, "later")
    [port] = free_ports(1)
    nobody = MlflowGateway(f"http://127.0.0.1:{port}", AWAY_SECONDS)
    away = replace(dispatcher, mlflow=nobody)
    for _ in range(100):
        with pytest.raises(NotYetError) as caught:
            await trials.mirror(away, trial_id)
        assert caught.value.due_at - now() <= timedelta(seconds=2 * AWAY_SECONDS)
    nobody.close()
    assert await known_run(world, trial_id) is None
    assert await trials.mirror(dispatcher, trial_id) is None
    assert len(in_mlflow(tracking_uri, "later", trial_id)) == 1

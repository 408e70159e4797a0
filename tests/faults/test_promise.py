"""The promise: work that was accepted is done once, whoever is killed meanwhile.

Seed: SEED, printed. SUBMISSIONS experiments of one small batch are submitted by clients that repeat their key, while
KILLS processes of API, dispatcher, worker, Prefect and PostgreSQL are killed at random moments and started again.
Expected: every run succeeded, one manifest for each trial, nothing twice, in the store, in our rows and in MLflow.
Time limit: DRAIN_SECONDS after the last kill.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.faults.durations import KILLS, SUBMISSIONS
from tests.faults.place import Place
from tests.faults.specifications import experiment

pytestmark = pytest.mark.timeout(3_600)

SEED = int(os.environ.get("SEED", "") or secrets.randbits(32))
CLIENTS = 4
ANSWER_SECONDS = 120.0
"""For a client that tries again each second."""
SECONDS_OF_A_RUN = 8.0  # on two busy cores
PAUSE_SECONDS = (4.0, 12.0)  # between kills: PostgreSQL and Prefect take seconds to come back
PACE_SECONDS = CLIENTS * KILLS / SUBMISSIONS * sum(PAUSE_SECONDS) / 2  # so that submissions last as long as kills
DRAIN_SECONDS = 120.0 + SUBMISSIONS * SECONDS_OF_A_RUN
BUSY = frozenset({409, 429, 502, 503, 504})


def test_what_was_accepted_is_done_once(place: Place) -> None:
    print(f"SEED={SEED}: {SUBMISSIONS} submissions, {KILLS} kills")  # noqa: T201 - shown with a failure
    chance = random.Random(SEED)
    for add in (place.add_worker, place.add_dispatcher, place.add_api):
        add()
    place.part("mlflow").wait_until_ready()
    killed: list[str] = []
    with place.supervisor.active(), ThreadPoolExecutor(CLIENTS) as clients:
        killer = threading.Thread(target=kill, args=(place, chance, killed))
        killer.start()
        runs = list(clients.map(lambda number: accepted(place, f"promise-{number}"), range(SUBMISSIONS)))
        killer.join()
        place.wait(lambda: all(part.is_ready() for part in place.parts.values()), 120, "all parts to be back")
        place.wait(lambda: not place.open_runs(), DRAIN_SECONDS, f"all runs to end; SEED={SEED}, killed: {killed}")
        place.wait(lambda: not unmirrored(place), DRAIN_SECONDS, f"MLflow to be filled; SEED={SEED}")
    print(f"killed: {', '.join(killed)}")  # noqa: T201
    assert_done_once(place, runs)


def kill(place: Place, chance: random.Random, killed: list[str]) -> None:
    """One of each kind in turn, in random order, at random moments."""
    names = [name for name in place.parts if name not in {"minio", "mlflow"}]
    while len(killed) < KILLS:
        for name in chance.sample(names, len(names))[: KILLS - len(killed)]:
            time.sleep(chance.uniform(*PAUSE_SECONDS))
            place.part(name).kill()
            killed.append(name)


def accepted(place: Place, name: str) -> str:
    """The id of the run, submitted as often as it takes to hear that it was accepted."""
    time.sleep(PACE_SECONDS)
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        try:
            answer = place.post("/v1/experiments", experiment(name), key=name)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code == httpx.codes.ACCEPTED:
            return str(answer.json()["latest_run_id"])
        assert answer is None or answer.status_code in BUSY, answer.text
        time.sleep(1.0)
    raise AssertionError(f"{name} was not accepted within {ANSWER_SECONDS} s; SEED={SEED}")


def unmirrored(place: Place) -> bool:
    query = "SELECT 1 FROM trial WHERE state = 'succeeded' AND mlflow_run_id IS NULL AND reused_from IS NULL LIMIT 1"
    return bool(place.sql(query))


def assert_done_once(place: Place, runs: list[str]) -> None:
    assert len(set(runs)) == SUBMISSIONS
    rows = place.sql(
        "SELECT t.id, t.run_id, t.state, t.mlflow_run_id, r.state AS run_state FROM trial t"
        " JOIN run r ON r.id = t.run_id JOIN experiment e ON e.id = r.experiment_id WHERE e.name LIKE 'promise-%'"
    )
    assert {str(row["run_id"]) for row in rows} == set(runs)
    assert [(row["state"], row["run_state"]) for row in rows] == [("succeeded", "succeeded")] * SUBMISSIONS
    keys = [key for run in runs for key in place.objects.keys(f"runs/{run}/trials/")]
    assert sorted(keys) == sorted(f"runs/{row['run_id']}/trials/{row['id']}/manifest.json" for row in rows)
    finished = place.sql("SELECT run_id FROM event WHERE kind = 'batch_finished'")
    assert sorted(str(row["run_id"]) for row in finished if str(row["run_id"]) in set(runs)) == sorted(runs)
    assert {sorted(place.rounds(run)) == [0, 1] for run in runs} == {True}
    mirrored = in_mlflow(place, {f"promise-{number}" for number in range(SUBMISSIONS)})
    assert sorted(mirrored) == sorted((str(row["id"]), str(row["mlflow_run_id"])) for row in rows)


def in_mlflow(place: Place, experiments: set[str]) -> list[tuple[str, str]]:
    """Trial and id of each MLflow run."""
    with httpx.Client(base_url=f"{place.mlflow_url()}/api/2.0/mlflow", timeout=30) as client:
        found = client.post("/experiments/search", json={"max_results": 1_000}).json()["experiments"]
        ids = [one["experiment_id"] for one in found if one["name"] in experiments]
        answer = client.post("/runs/search", json={"experiment_ids": ids, "max_results": 1_000}).json()
    tags = [
        ({tag["key"]: tag["value"] for tag in run["data"]["tags"]}, run["info"]["run_id"]) for run in answer["runs"]
    ]
    return [(values["corepoint.trial_id"], run_id) for values, run_id in tags]

"""Prefect away, or emptied (craft.md section 6, case 15). Seed: the experiments' own (0)."""

from __future__ import annotations

import pytest

from tests.faults.durations import BEGIN_SECONDS
from tests.faults.place import Place
from tests.faults.specifications import experiment

pytestmark = pytest.mark.timeout(500)
SECONDS = 120


def test_what_is_submitted_while_prefect_is_away_waits_for_it(place: Place) -> None:
    """Expected: accepted at once, succeeded by attempt 1 and one flow run. Limit: 120 s after Prefect is back."""
    place.part("prefect").kill()
    run = place.submitted(experiment("prefect-away"))
    place.wait(lambda: place.state(run) == "queued", 20, "the run to be planned")
    place.start_again("prefect")
    assert place.ended(run, SECONDS) == "succeeded"
    assert place.batch(run)["attempt"] == 1
    assert len(place.flow_runs_of(run)) == 1


def test_an_emptied_prefect_is_filled_again(place: Place) -> None:
    """Its database is dropped while one batch runs, two wait for it and an experiment has a schedule. Expected: pool,
    queues and schedule are registered again, what waited is submitted again as the same attempt, and the running flow
    ends well though Prefect does not know it any more. Limit: 120 s after Prefect is back."""
    scheduled = {**experiment("nightly"), "schedule": {"cron": "0 3 * * *"}}
    assert place.post("/v1/experiments", scheduled).status_code == 202
    running = place.submitted(experiment("running-on", dataset="large", rounds=12))
    place.wait(lambda: 1 in place.rounds(running), BEGIN_SECONDS, "a timed round")
    waiting = [place.submitted(experiment(f"waiting-{number}")) for number in range(2)]
    for run in waiting:
        place.wait(lambda run=run: place.batch(run)["state"] == "submitted", 30, "the batch to be submitted")
    place.wait(lambda: schedules(place), 30, "the schedule to be registered")

    place.part("prefect").kill()
    place.sql("DROP DATABASE prefect WITH (FORCE)", database="postgres")
    place.sql("CREATE DATABASE prefect", database="postgres")
    place.start_again("prefect")

    assert [place.ended(run, SECONDS) for run in (running, *waiting)] == ["succeeded"] * 3
    assert [place.batch(run)["attempt"] for run in (running, *waiting)] == [1] * 3
    assert [len(place.events(run, "batch_claimed")) for run in (running, *waiting)] == [1] * 3
    place.wait(lambda: schedules(place) == ["0 3 * * *"], 60, "the schedule to be registered again")


def test_a_worker_that_was_there_before_the_queues_serves_them(place: Place) -> None:
    """Prefect is emptied while no dispatcher lives, so the worker looks first. Expected: it makes no pool that would
    hide from the dispatcher what is missing, and takes what comes once the queues are there. Limit: 60 s."""
    place.part("dispatcher-1").kill()
    place.part("prefect").kill()
    place.sql("DROP DATABASE prefect WITH (FORCE)", database="postgres")
    place.sql("CREATE DATABASE prefect", database="postgres")
    place.start_again("prefect")
    place.part("prefect").wait_until_ready()
    place.part("worker-1").kill()
    place.start_again("worker-1")
    place.part("worker-1").wait_until_ready()
    assert place.of_prefect("/work_pools/filter", {}) == []
    run = place.submitted(experiment("after-the-worker"))
    place.start_again("dispatcher-1")
    assert place.ended(run, SECONDS // 2) == "succeeded"


def schedules(place: Place) -> list[str]:
    found = place.of_prefect("/deployments/filter", {"deployments": {"name": {"like_": "nightly"}}})
    return [one["schedule"]["cron"] for deployment in found for one in deployment["schedules"]]

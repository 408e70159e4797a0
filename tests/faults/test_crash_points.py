"""Processes that die at the worst moment (craft.md section 6, cases 1 to 4), by COREPOINT_CRASH_AT.

Seed: the experiments' own (0). Each test names its one outcome and its time limit.
"""

from __future__ import annotations

import httpx
import pytest

from app.crash_points import CrashPoint
from tests.faults.durations import BEGIN_SECONDS
from tests.faults.place import Place
from tests.faults.specifications import experiment

pytestmark = pytest.mark.timeout(400)

SECONDS = 90
"""From the death of a process to the end of the run, with leases of 10 s."""


def test_who_repeats_the_key_gets_the_answer_that_was_never_sent(place: Place) -> None:
    """Case 1. Expected: the same experiment, one row, one run. Limit: 90 s."""
    api = place.add_api(shared=False, COREPOINT_CRASH_AT=CrashPoint.API_COMMITTED)
    specification = experiment("committed")
    with pytest.raises(httpx.TransportError):
        place.post("/v1/experiments", specification, key="committed", server=place.address(api))
    place.crashed(api, 10)
    answer = place.post("/v1/experiments", specification, key="committed")
    assert (answer.status_code, answer.headers.get("Idempotent-Replay")) == (202, "true"), answer.text
    rows = place.sql(
        "SELECT r.id FROM experiment e JOIN run r ON r.experiment_id = e.id WHERE e.name = $1", "committed"
    )
    assert [str(row["id"]) for row in rows] == [answer.json()["latest_run_id"]]
    assert place.ended(str(rows[0]["id"]), SECONDS) == "succeeded"


def test_a_flow_run_that_was_created_and_not_noted_is_found_again(place: Place) -> None:
    """Case 2. Expected: the next dispatcher is answered the same flow run, which is the only one. Limit: 90 s."""
    place.part("worker-1").freeze()
    place.part("dispatcher-1").kill()
    place.part("dispatcher-1").start(COREPOINT_CRASH_AT=CrashPoint.FLOW_RUN_CREATED)
    run = place.submitted(experiment("created"))
    place.crashed("dispatcher-1", 60)
    [created] = place.flow_runs_of(run)
    assert place.batch(run)["state"] == "waiting"
    place.start_again("dispatcher-1")
    place.wait(lambda: place.batch(run)["state"] == "submitted", 30, "the batch to be submitted")
    [noted] = place.sql("SELECT flow_run_id FROM batch WHERE run_id = $1::uuid", run)
    assert noted["flow_run_id"] == created["id"]
    place.part("worker-1").thaw()
    assert place.ended(run, SECONDS) == "succeeded"
    assert [found["id"] for found in place.flow_runs_of(run)] == [created["id"]]
    assert place.batch(run)["attempt"] == 1


def test_a_flow_run_whose_worker_died_before_starting_it_is_given_to_the_next(place: Place) -> None:
    """Case 3. Expected: rescheduled once it was PENDING for 10 s, executed once, attempt 1. Limit: 90 s."""
    place.part("worker-1").kill()
    place.part("worker-1").start(COREPOINT_CRASH_AT=CrashPoint.WORKER_PENDING)
    run = place.submitted(experiment("pending"))
    place.crashed("worker-1", 60)
    [flow_run] = place.flow_runs_of(run)
    assert flow_run["state_type"] == "PENDING"
    place.start_again("worker-1")
    assert place.ended(run, SECONDS) == "succeeded"
    assert place.batch(run)["attempt"] == 1
    assert len(place.events(run, "batch_claimed")) == 1
    assert [found["id"] for found in place.flow_runs_of(run)] == [flow_run["id"]]


@pytest.mark.parametrize(
    ("point", "attempt", "measured_by"),
    [
        (CrashPoint.ARTIFACTS_PUBLISHED, 2, 2),  # nothing is a result without its manifest
        (CrashPoint.MANIFEST_PUBLISHED, 2, 1),  # the second attempt adopts the manifest of the first
        (CrashPoint.OUTCOME_PUBLISHED, 1, 1),  # accepted as it lies in the store
    ],
)
def test_what_a_dead_worker_has_published_counts(
    place: Place, point: CrashPoint, attempt: int, measured_by: int
) -> None:
    """Case 4. Expected: retry; retry that adopts; accepted. No saved round is measured twice. Limit: 90 s."""
    place.part("worker-1").kill()
    place.part("worker-1").start(COREPOINT_CRASH_AT=point)
    run = place.submitted(experiment(point))
    died = f"crash point {point} reached"
    place.wait(lambda: died in place.part("worker-1").log.read_text(), 60, died)
    place.part("worker-1").kill()
    rounds = place.rounds(run)
    assert sorted(rounds) == [0, 1]
    place.start_again("worker-1")
    assert place.ended(run, SECONDS) == "succeeded"
    assert place.batch(run)["attempt"] == attempt
    assert place.manifest(run)["attempt"] == measured_by
    assert place.rounds(run) == rounds


def test_a_worker_that_dies_in_a_fit_costs_the_present_round(place: Place) -> None:
    """Case 4. Expected: attempt 2 measures what is missing, saved rounds stay. Limit: 90 s."""
    run = place.submitted(experiment("in-a-fit", dataset="large", rounds=4))
    place.wait(lambda: 1 in place.rounds(run), BEGIN_SECONDS, "a timed round")
    place.wait(place.children_of_samples, 30, "a fit")
    place.part("worker-1").kill()
    saved = place.rounds(run)
    place.start_again("worker-1")
    assert place.ended(run, SECONDS) == "succeeded"
    rounds = place.rounds(run)
    assert sorted(rounds) == [0, 1, 2, 3, 4]
    assert {number: found["attempt"] for number, found in rounds.items()} == {
        number: 1 if number in saved else 2 for number in rounds
    }
    assert place.batch(run)["attempt"] == 2

"""Cancel: nothing is left of a run, whatever it was doing (craft.md section 6, case 20).

Seed: 20 for the moments of the race; the experiments' own (0). Expected: one terminal state, 202 while the run is open
and 409 afterwards, no process after 10 s.
"""

from __future__ import annotations

import random
import time
from functools import partial

import httpx
import pytest

from tests.faults.place import Place
from tests.faults.specifications import experiment

pytestmark = pytest.mark.timeout(240)
GONE_SECONDS = 10
TERMINAL = {"succeeded", "cancelled", "partial", "failed"}
RACES = 5


def cancel(place: Place, run: str) -> int:
    return place.post(f"/v1/runs/{run}/cancel").status_code


def test_a_cancelled_fit_leaves_no_process(place: Place) -> None:
    """Twice cancelled, deleted too early, then deleted. Limit: 10 s."""
    run = place.submitted(experiment("cancelled", dataset="large", rounds=100))
    place.wait(place.children_of_samples, 60, "a fit")
    assert httpx.delete(f"{place.server}/v1/experiments/cancelled", headers=place.headers).status_code == 409
    assert [cancel(place, run), cancel(place, run)] == [202, 202]
    place.wait(lambda: not place.flows_of("worker-1"), GONE_SECONDS, "its processes to end")
    assert not place.children_of_samples()
    assert place.ended(run, GONE_SECONDS) == "cancelled"
    assert cancel(place, run) == 409
    assert {trial["state"] for trial in place.get(f"/v1/runs/{run}/trials")["items"]} == {"cancelled"}
    assert httpx.delete(f"{place.server}/v1/experiments/cancelled", headers=place.headers).status_code == 204
    assert httpx.get(f"{place.server}/v1/runs/{run}", headers=place.headers).status_code == 404


def test_a_cancel_is_heard_while_the_store_is_away(place: Place) -> None:
    """The attempt waits for the store. Limit: 10 s."""
    run = place.submitted(experiment("cancelled-waiting", dataset="large", rounds=50))
    place.wait(lambda: 0 in place.rounds(run), 60, "the memory pass")
    place.part("minio").freeze()
    time.sleep(3.0)  # a round ends, and cannot be saved
    assert cancel(place, run) == 202
    place.wait(lambda: not place.flows_of("worker-1"), GONE_SECONDS, "its processes to end")
    assert place.ended(run, GONE_SECONDS) == "cancelled"


def test_a_cancel_that_races_the_end_of_a_run_has_one_outcome(place: Place) -> None:
    """At RACES moments around the end of a short run. Expected: whatever came first, for good."""
    moments = random.Random(20)
    for number in range(RACES):
        run = place.submitted(experiment(f"race-{number}"))
        place.wait(partial(place.flow_runs_of, run), 60, "a flow run")
        time.sleep(moments.uniform(0.0, 2.0))
        answer = cancel(place, run)
        state = place.ended(run, 30)
        assert (answer, state) in {(202, "cancelled"), (202, "succeeded"), (409, "succeeded")}
        [trial] = place.get(f"/v1/runs/{run}/trials")["items"]
        assert trial["state"] == state
        assert cancel(place, run) == 409
        time.sleep(1.0)
        assert place.state(run) == state
    place.wait(lambda: not place.flows_of("worker-1"), GONE_SECONDS, "all processes to end")

"""The object store away, slow, or holding what it should not (craft.md section 6, cases 12 and 13).

Seed: the experiments' own (0). Expected: delayed and not measured again; what is corrupt is no result. Time limit: 60 s
after the store is back.
"""

from __future__ import annotations

import time

import pytest

from tests.faults.durations import STORE_AWAY_SECONDS
from tests.faults.place import Place
from tests.faults.specifications import experiment

pytestmark = pytest.mark.timeout(420)
SECONDS = 60
CORRUPT = """
apiVersion: corepoint/v1
kind: Dataset
name: {name}
source: {{generate: {{kind: blobs, n: 200, centers: 3, spread: 0.3, seed: {seed}}}}}
"""


def test_a_store_that_is_away_delays_a_batch_and_measures_nothing_again(place: Place) -> None:
    """Case 12, away for STORE_AWAY_SECONDS while it measures. Expected: one attempt, each round once, by it."""
    run = place.submitted(experiment("store-away", dataset="large", rounds=4))
    place.wait(lambda: 1 in place.rounds(run), 60, "a timed round")
    for link in place.links("minio"):
        link.cut()
    time.sleep(STORE_AWAY_SECONDS)
    assert place.state(run) == "running"
    before = place.rounds(run)
    for link in place.links("minio"):
        link.heal()
    assert place.ended(run, SECONDS) == "succeeded"
    rounds = place.rounds(run)
    assert sorted(rounds) == [0, 1, 2, 3, 4]
    assert {number: rounds[number] for number in before} == before
    assert {found["attempt"] for found in rounds.values()} == {1}
    assert len(place.events(run, "batch_claimed")) == 1


def test_a_store_that_is_away_when_a_batch_begins_and_ends_costs_no_attempt(place: Place) -> None:
    """Case 12, from before the claim until after the last sample could have been published."""
    place.part("minio").freeze()
    run = place.submitted(experiment("store-away-early"))
    place.wait(lambda: place.events(run, "batch_claimed"), 60, "the claim")
    time.sleep(STORE_AWAY_SECONDS)
    place.part("minio").thaw()
    assert place.ended(run, SECONDS) == "succeeded"
    assert place.batch(run)["attempt"] == 1


def test_a_store_that_is_slow_is_waited_for(place: Place) -> None:
    """Case 12, 1 kB/s. Expected: heartbeats go on, one attempt."""
    place.link("worker-1", "minio").throttle(1_000)
    run = place.submitted(experiment("store-slow"))
    assert place.ended(run, 120) == "succeeded"
    assert place.batch(run)["attempt"] == 1


@pytest.mark.parametrize("damage", ["truncated", "changed"])
def test_points_that_are_not_what_was_prepared_are_no_result(place: Place, damage: str) -> None:
    """Case 13. Expected: `artifact_corrupt`, by the first attempt."""
    place.create(CORRUPT.format(name=f"points-{damage}", seed=len(damage)), "--wait")
    [found] = [one for one in place.get("/v1/datasets?limit=100")["items"] if one["name"] == f"points-{damage}"]
    key = f"datasets/{found['sha256']}/points.npy"
    body = place.objects.get(key)
    place.objects.put(key, body[:-8] if damage == "truncated" else body[:-1] + bytes([body[-1] ^ 1]))
    run = place.submitted(experiment(f"reads-{damage}", dataset=f"points-{damage}"))
    assert place.ended(run, SECONDS) == "failed"
    [trial] = place.get(f"/v1/runs/{run}/trials")["items"]
    assert trial["failure"]["code"] == "artifact_corrupt"
    assert key in trial["failure"]["message"]
    assert place.batch(run)["attempt"] == 1


def test_a_round_that_was_damaged_is_measured_again_by_the_next_attempt(place: Place) -> None:
    """Case 13. Expected: attempt 2 keeps the good rounds of attempt 1 and replaces the damaged one."""
    run = place.submitted(experiment("round-damaged", dataset="large", rounds=3))
    place.wait(lambda: 2 in place.rounds(run), 60, "two timed rounds")
    place.part("worker-1").kill()
    [key] = [key for key in place.objects.keys(f"runs/{run}/batches/") if key.endswith("/rounds/001.json")]
    place.objects.put(key, place.objects.get(key)[:-20])
    place.start_again("worker-1")
    assert place.ended(run, SECONDS) == "succeeded"
    assert {number: found["attempt"] for number, found in place.rounds(run).items()} == {0: 1, 1: 2, 2: 1, 3: 2}

"""Two dispatchers, one of them frozen in the middle of its work and resumed (craft.md section 6, case 9).

Seed: the experiments' own (0). Expected: the other one takes over what was leased, every run ends well by attempt 1 and
one flow run, and whoever wakes does nothing a second time. Time limit: 60 s to take over, frozen for FROZEN_SECONDS.
"""

from __future__ import annotations

import time

import pytest

from tests.faults.durations import FROZEN_SECONDS
from tests.faults.place import Place
from tests.faults.specifications import experiment

pytestmark = pytest.mark.timeout(500)
RUNS = 4


def test_a_frozen_dispatcher_blocks_nobody_and_does_nothing_twice(place: Place) -> None:
    place.part("dispatcher-1").kill()
    frozen = place.add_dispatcher()
    place.link(frozen, "prefect").delay(1.0)  # so that it is met in the middle of a call
    runs = [place.submitted(experiment(f"frozen-{number}")) for number in range(RUNS)]
    query = "SELECT count(*) AS leased FROM work WHERE leased_until > now() AND kind = 'batch'"
    place.wait(lambda: place.sql(query)[0]["leased"] == RUNS, 30, "all batches to be leased")
    place.part(frozen).freeze()
    began = time.monotonic()

    place.start_again("dispatcher-1")
    assert [place.ended(run, 90) for run in runs] == ["succeeded"] * RUNS
    time.sleep(max(0.0, FROZEN_SECONDS - (time.monotonic() - began)))
    seen = [summary(place, run) for run in runs]
    assert [(flow_runs, attempt, claims) for flow_runs, attempt, claims, _ in seen] == [(1, 1, 1)] * RUNS

    place.link(frozen, "prefect").heal()
    place.part(frozen).thaw()
    # Time to do what it was about to, and to turn each of its loops.
    time.sleep(5.0)
    assert [summary(place, run) for run in runs] == seen
    assert place.part(frozen).is_alive()
    place.part("dispatcher-1").kill()
    assert place.ended(place.submitted(experiment("after-thaw")), 60) == "succeeded"


def summary(place: Place, run: str) -> tuple[int, int, int, int]:
    """Flow runs, attempt, claims and events."""
    events = place.get(f"/v1/runs/{run}/events?limit=100")["items"]
    claims = sum(event["kind"] == "batch_claimed" for event in events)
    return len(place.flow_runs_of(run)), place.batch(run)["attempt"], claims, len(events)

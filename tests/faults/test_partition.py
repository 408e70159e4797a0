"""Workers that are cut off from the control plane, and come back (craft.md section 6, case 7).

Seed: the experiments' own (0). Expected: of two attempts the first complete manifest counts, the row says what the
manifest in the store says, and what the other attempt still has to say is refused and counted. Time limit: 90 s.
"""

from __future__ import annotations

import re

import httpx
import pytest

from tests.faults.place import Place
from tests.faults.specifications import experiment

pytestmark = pytest.mark.timeout(240)
SECONDS = 90
FENCED_SECONDS = 10
"""From the return of a worker to the end of what it measures: a heartbeat, and a second to end a sample."""


def stale_writes(place: Place) -> float:
    measures = httpx.get(f"{place.address('api-1')}/metrics", timeout=10)
    internal = httpx.get(f"http://127.0.0.1:{place.link('worker-1', 'internal').port}/metrics", timeout=10)
    counted = re.findall(r"^corepoint_stale_writes_total\{.*\} (\S+)$", measures.text + internal.text, re.MULTILINE)
    return sum(float(one) for one in counted)


def row_of(place: Place, run: str) -> dict[str, object]:
    [row] = place.sql("SELECT state, manifest->>'attempt' AS attempt FROM trial WHERE run_id = $1::uuid", run)
    return row


def test_a_worker_that_finishes_while_it_is_cut_off_is_believed_by_what_it_published(place: Place) -> None:
    """Only the control plane is out of its reach. Expected: its outcome is adopted from the store long before it could
    report; its late report changes nothing."""
    run = place.submitted(experiment("cut-off-and-done", dataset="large", rounds=3))
    place.wait(lambda: 0 in place.rounds(run), 60, "the memory pass")
    place.link("worker-1", "internal").blackhole()
    assert place.ended(run, SECONDS) == "succeeded"
    assert place.flows_of("worker-1"), "it still tries to report"
    before = (row_of(place, run), place.manifest(run), place.rounds(run))
    place.link("worker-1", "internal").heal()
    place.wait(lambda: not place.flows_of("worker-1"), 60, "the flow run to end")
    assert (row_of(place, run), place.manifest(run), place.rounds(run)) == before
    assert before[0] == {"state": "succeeded", "attempt": str(before[1]["attempt"])}


def test_a_worker_that_returns_while_its_successor_measures_is_fenced_and_changes_no_row(place: Place) -> None:
    """It was frozen for longer than its lease. Expected: attempt 2 ends the run; attempt 1 stops at its first
    heartbeat, and whatever it wrote before counts only where it was the first."""
    successor = place.add_worker()
    place.part(successor).freeze()
    run = place.submitted(experiment("frozen-and-back", dataset="large", rounds=12))
    place.wait(lambda: 1 in place.rounds(run), 60, "a timed round")
    saved = place.rounds(run)
    place.part("worker-1").freeze()
    place.part(successor).thaw()
    place.wait(lambda: place.batch(run)["attempt"] == 2, 60, "its lease to end")
    place.wait(lambda: place.batch(run)["state"] == "running", 60, "its successor to take the batch")
    refused = stale_writes(place)
    place.part("worker-1").thaw()
    place.wait(lambda: not place.flows_of("worker-1"), FENCED_SECONDS, "attempt 1 to stop")
    assert stale_writes(place) > refused
    assert place.batch(run)["attempt"] == 2
    assert place.ended(run, SECONDS) == "succeeded"
    rounds = place.rounds(run)
    assert sorted(rounds) == list(range(13))
    assert {number: rounds[number] for number in saved} == saved
    assert row_of(place, run) == {"state": "succeeded", "attempt": str(place.manifest(run)["attempt"])}
    [trial] = place.get(f"/v1/runs/{run}/comparison")["groups"][0]["entries"]
    assert len(trial["timing"]["samples"]) == 12
    assert len(place.events(run, "batch_finished")) == 1

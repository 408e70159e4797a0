"""A queue of small batches is drained by several workers: none is lost, none is run twice."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from datetime import datetime

import httpx

from hack.benches.installation import installation, small_experiment, wait
from hack.benches.report import table, write_section
from tests.faults.place import Place

SUBMIT_SECONDS = 600.0
BATCH_SECONDS = 10.0
"""Far above what a batch takes: then the measurement has failed."""


def run(arguments: list[str]) -> int:
    options = _options(arguments)
    with installation(workers=0) as place:
        _queue(place, options.batches)
        print(f"{options.batches} batches are queued", flush=True)
        began = time.monotonic()
        for _ in range(options.workers):
            place.add_worker(wait=False)
        ended = "SELECT count(*) AS n FROM run WHERE finished_at IS NOT NULL"
        limit = 120.0 + BATCH_SECONDS * options.batches
        wait(lambda: place.sql(ended)[0]["n"] == options.batches, limit, "the queue to be empty", pause=2.0)
        whole_seconds = time.monotonic() - began
        wrong = _wrong(place, options.batches)
        first, last = _span(place)
    busy_seconds = (last - first).total_seconds()
    rows = [
        ["batches a minute, first claim to last report", f"{60 * options.batches / busy_seconds:.0f}"],
        ["first claim to last report", f"{busy_seconds:.0f} s"],
        ["start of the workers to last report", f"{whole_seconds:.0f} s"],
        *([what, str(number)] for what, number in wrong.items()),
    ]
    head = f"{options.batches:,} queued batches of one trial, one sample, 100 points; {options.workers} worker(s).\n\n"
    body = head + table(["what", "figure"], rows)
    print(body)
    write_section("drain", " ".join(["hack/bench drain", *arguments]), body)
    return 1 if any(wrong.values()) else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hack/bench drain", description=__doc__)
    parser.add_argument("--batches", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=3)
    return parser.parse_args(arguments)


def _queue(place: Place, count: int) -> None:
    """So many runs of one experiment, each with one batch that Prefect holds a flow run of."""
    with httpx.Client(base_url=place.server, headers=place.headers, timeout=30) as client:
        client.post("/v1/experiments", params={"start": False}, json=small_experiment("drained")).raise_for_status()
        for _ in range(count):
            client.post("/v1/experiments/drained/runs").raise_for_status()
    queued = "SELECT count(*) AS n FROM batch WHERE state = 'submitted'"
    wait(lambda: place.sql(queued)[0]["n"] == count, SUBMIT_SECONDS, "the batches to be queued")


def _wrong(place: Place, count: int) -> dict[str, int]:
    """What must all be 0."""
    keys = list(place.objects.keys("runs/"))
    manifests = [key for key in keys if key.endswith("/manifest.json")]
    flow_runs = place.of_prefect("/flow_runs/count", {"flow_runs": {"tags": {"any_": _tags(place)}}})
    return {
        "runs lost": count - _count(place, "SELECT count(*) AS n FROM run WHERE state = 'succeeded'"),
        "trials without exactly one manifest": abs(count - len(manifests)) + len(manifests) - len(_parents(manifests)),
        "batches tried more than once": _count(place, "SELECT count(*) AS n FROM batch WHERE attempt > 1"),
        "batches finished more than once": _count(place, _FINISHED_TWICE),
        "flow runs too many": int(flow_runs) - count,
    }


_FINISHED_TWICE = """
    SELECT count(*) AS n FROM (
        SELECT run_id FROM event WHERE kind IN ('batch_claimed', 'batch_finished') GROUP BY run_id, kind
        HAVING count(*) > 1
    ) AS twice
"""


def _count(place: Place, query: str) -> int:
    return int(place.sql(query)[0]["n"])


def _tags(place: Place) -> list[str]:
    return [f"experiment:{row['id']}" for row in place.sql("SELECT id FROM experiment")]


def _parents(keys: Iterable[str]) -> set[str]:
    return {key.rpartition("/")[0] for key in keys}


def _span(place: Place) -> tuple[datetime, datetime]:
    (row,) = place.sql(
        "SELECT min(at) FILTER (WHERE kind = 'batch_claimed') AS first,"
        " max(at) FILTER (WHERE kind = 'batch_finished') AS last FROM event"
    )
    return row["first"], row["last"]

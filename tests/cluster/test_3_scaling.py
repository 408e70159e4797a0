"""Forty batches wait: workers come within a minute, every batch ends exactly once, the workers go again."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.cluster import documents
from tests.cluster.installation import Installation
from tests.cluster.kube import wait_for

BATCHES = 40
WORKERS = 3
GROW_SECONDS = 60
DRAIN_SECONDS = 600
SHRINK_SECONDS = 240
DEPLOYMENT = "corepoint-worker-default"


def test_workers_follow_the_depth_of_the_queue(installation: Installation) -> None:
    installation.create(documents.SMALL.replace("name: small", "name: forty"), "--wait")
    wait_for(lambda: _only_one(installation), SHRINK_SECONDS, "one worker", pause=2.0)
    # The clock runs from before the first request: the depth passes the target with the second.
    crossed = time.monotonic()
    with ThreadPoolExecutor(8) as clients:
        posted = [clients.submit(installation.start_run, "forty") for _ in range(BATCHES)]
        most = wait_for(lambda: _at_least(installation, WORKERS), GROW_SECONDS, f"{WORKERS} workers", pause=0.5)
        grown = time.monotonic() - crossed
    runs = [one.result() for one in posted]
    for run_id in runs:
        assert installation.ended(run_id, DRAIN_SECONDS)["state"] == "succeeded"
    drained = time.monotonic() - crossed
    wait_for(lambda: _only_one(installation), SHRINK_SECONDS, "one worker again", pause=2.0)
    ended = Counter(
        event["data"]["batch_id"] for run_id in runs for event in installation.events(run_id, "batch_finished")
    )
    print(f"{most} workers after {grown:.0f} s, {BATCHES} batches after {drained:.0f} s")  # noqa: T201 - for the record
    assert len(ended) == BATCHES
    assert set(ended.values()) == {1}


def _at_least(installation: Installation, workers: int) -> int:
    found = len(installation.worker_pods("default"))
    return found if found >= workers else 0


def _only_one(installation: Installation) -> bool:
    """One pod, those that start or stop included, and no more wanted."""
    pods = installation.kube.objects("pods", "app.kubernetes.io/component=worker,corepoint.io/queue=default")
    return len(pods) == 1 and installation.kube.object("deployment", DEPLOYMENT)["spec"]["replicas"] == 1

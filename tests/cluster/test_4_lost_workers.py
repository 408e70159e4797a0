"""A worker pod is deleted, and one is killed, in the middle of a batch: what was measured stays measured."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from app.contracts.measurement import TrialManifest
from tests.cluster import documents
from tests.cluster.installation import Installation, object_store
from tests.cluster.kube import wait_for

NOTICED_AND_FINISHED_SECONDS = 120
# The container ends with its worker, which is the only child of the process that reaps.
KILL_THE_WORKER = """
import os, pathlib, signal
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    words = (folder / "cmdline").read_bytes().split(b"\\0")
    if b"workers.process" in words and b"-m" in words and folder.name != "1":
        os.kill(int(folder.name), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def long(installation: Installation) -> str:
    """The experiment exists and its dataset is prepared."""
    installation.create(documents.LONG, "--no-run")
    installation.command("wait", "dataset/many", "--timeout", "180s")
    return "long"


def under_way(installation: Installation, run_id: str, samples: int) -> dict[str, Any]:
    """The run's batch, once it has `samples` samples."""

    def look() -> dict[str, Any] | None:
        batch = installation.items(f"/v1/runs/{run_id}/batches")[0:1]
        progress = batch[0]["progress"] if batch else None
        return batch[0] if progress and progress["samples_done"] >= samples else None

    return wait_for(look, 180, f"{samples} samples of run {run_id}", pause=0.3)


def samples_by_attempt(installation: Installation, run_id: str) -> Counter[int]:
    """From the manifests in MinIO."""
    keys = [trial["manifest_key"] for trial in installation.items(f"/v1/runs/{run_id}/trials")]
    with object_store(installation) as store:
        manifests = [TrialManifest.model_validate_json(store.get(key)) for key in keys]
    return Counter(sample.attempt for manifest in manifests for sample in manifest.samples)


def test_a_deleted_worker_finishes_its_sample_and_another_goes_on(installation: Installation, long: str) -> None:
    """Nothing that was measured before the deletion is measured again."""
    run_id = installation.start_run(long)
    batch = under_way(installation, run_id, 7)
    installation.kube.run("delete", "pod", batch["worker"], "--wait=false")
    assert installation.ended(run_id, 300)["state"] == "succeeded"
    released = installation.events(run_id, "batch_released")
    assert len(released) == 1, installation.events(run_id)
    found = samples_by_attempt(installation, run_id)
    assert sum(found.values()) == 2 * (documents.LONG_ROUNDS + 1)
    assert found[1] >= batch["progress"]["samples_done"]


def test_a_force_deleted_worker_is_replaced(installation: Installation, long: str) -> None:
    """Whether it still finds the time to give its batch back or is found to be gone: another one finishes it."""
    run_id = installation.start_run(long)
    batch = under_way(installation, run_id, 7)
    killed = time.monotonic()
    installation.kube.run("delete", "pod", batch["worker"], "--grace-period=0", "--force")
    ended = installation.ended(run_id, NOTICED_AND_FINISHED_SECONDS)
    print(f"finished {time.monotonic() - killed:.0f} s after the pod was deleted by force")  # noqa: T201 - for the record
    assert ended["state"] == "succeeded"
    assert len(installation.events(run_id, "batch_claimed")) == 2
    assert sum(samples_by_attempt(installation, run_id).values()) == 2 * (documents.LONG_ROUNDS + 1)


def test_a_killed_worker_is_noticed_and_its_batch_finished(installation: Installation, long: str) -> None:
    """SIGKILL, as the kernel does it to whoever takes too much memory: nobody is told, the pod's status says it."""
    run_id = installation.start_run(long)
    batch = under_way(installation, run_id, 7)
    killed = time.monotonic()
    installation.kube.run("exec", batch["worker"], "--", "python", "-c", KILL_THE_WORKER)
    ended = installation.ended(run_id, NOTICED_AND_FINISHED_SECONDS)
    print(f"finished {time.monotonic() - killed:.0f} s after the kill")  # noqa: T201 - for the record
    assert ended["state"] == "succeeded"
    lost = [event["message"] for event in installation.events(run_id, "batch_lost")]
    assert len(lost) == 1
    assert f"its worker pod {batch['worker']} was started again" in lost[0]
    assert len(installation.events(run_id, "batch_claimed")) == 2
    assert sum(samples_by_attempt(installation, run_id).values()) == 2 * (documents.LONG_ROUNDS + 1)

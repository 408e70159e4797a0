"""A worker pod is deleted, and one is killed, in the middle of a batch: what was measured stays measured."""

from __future__ import annotations

import time

import pytest

from tests.cluster import documents
from tests.cluster.installation import Installation
from tests.cluster.progress import samples_by_attempt, under_way

NOTICED_AND_FINISHED_SECONDS = 120
# Everything at once: a flow run that outlives its worker for a moment gives its batch back, and nobody is lost.
KILL_THE_WORKER = "import os, signal; os.kill(-1, signal.SIGKILL)"


@pytest.fixture(scope="module")
def long(installation: Installation) -> str:
    """The experiment exists and its dataset is prepared."""
    installation.create(documents.LONG, "--no-run")
    installation.command("wait", "dataset/many", "--timeout", "180s")
    return "long"


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
    # The container takes the one who asked along.
    installation.kube.run("exec", batch["worker"], "--", "python", "-c", KILL_THE_WORKER, check=False)
    ended = installation.ended(run_id, NOTICED_AND_FINISHED_SECONDS)
    print(f"finished {time.monotonic() - killed:.0f} s after the kill")  # noqa: T201 - for the record
    assert ended["state"] == "succeeded"
    lost = [event["message"] for event in installation.events(run_id, "batch_lost")]
    assert len(lost) == 1
    assert f"its worker pod {batch['worker']} was started again" in lost[0]
    assert len(installation.events(run_id, "batch_claimed")) == 2
    assert sum(samples_by_attempt(installation, run_id).values()) == 2 * (documents.LONG_ROUNDS + 1)

"""The worker's spare interpreter, killed, frozen and orphaned. Seed: the experiment's own (0). Expected: every flow run
runs once, in a process of its own, and nothing outlives its worker. Time limit: 60 s a run, 10 s for what is to go.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.stack import Stack

pytestmark = pytest.mark.timeout(240)

RUN_SECONDS = 60
GONE_SECONDS = 10
DOCUMENT = """
apiVersion: corepoint/v1
kind: Dataset
name: blobs
source: {generate: {kind: blobs, n: 20000, centers: 20, spread: 0.3, seed: 1}}
---
apiVersion: corepoint/v1
kind: Experiment
name: short
datasets: [blobs]
parameters: {eps: 0.15, min_samples: 10}
algorithms: [{name: sequential, algorithm: sklearn-dbscan}]
protocol: {rounds: 1, reuse: never}
---
apiVersion: corepoint/v1
kind: Experiment
name: long
datasets: [blobs]
parameters: {eps: 0.15, min_samples: 10}
algorithms: [{name: sequential, algorithm: sklearn-dbscan}]
protocol: {rounds: 40, reuse: never}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("warm"), traced=False)
    stack.start()
    stack.create(DOCUMENT)
    stack.command("cancel", stack.latest_run("long"))  # either may be taken first
    for experiment in ("long", "short"):
        stack.ended(stack.latest_run(experiment), RUN_SECONDS)
    yield stack
    stack.stop()


def started(stack: Stack, experiment: str) -> str:
    answer = httpx.post(f"{stack.server}/v1/experiments/{experiment}/runs", json={}, timeout=20)
    answer.raise_for_status()
    return str(answer.json()["id"])


def measuring(stack: Stack) -> psutil.Process:
    """The process of the only flow run, once it measures."""
    stack.wait(stack.children_of_samples, RUN_SECONDS, "a child that measures")
    [process] = stack.flow_runs()
    return process


def spare(stack: Stack) -> psutil.Process:
    return stack.wait(stack.spares, RUN_SECONDS, "a spare interpreter")[0]


def of_prefect(stack: Stack, path: str) -> str:
    return f"http://127.0.0.1:{stack.ports['prefect']}/api{path}"


def states(stack: Stack, flow_run_id: str) -> list[str]:
    """Those that Prefect has seen a flow run in, in their order."""
    url, of = of_prefect(stack, "/flow_run_states/"), {"flow_run_id": flow_run_id}
    found = httpx.get(url, params=of, timeout=20).json()
    return [state["type"] for state in sorted(found, key=lambda state: state["timestamp"])]


def assert_ran_once(stack: Stack, run: str) -> None:
    """To Prefect, too: one flow run, which was RUNNING once and ended well."""
    assert stack.ended(run, RUN_SECONDS) == "succeeded"
    [batch] = stack.get(f"/v1/runs/{run}/batches")["items"]
    assert batch["attempt"] == 1
    assert len(stack.events(run, "batch_claimed")) == 1
    flow_run = batch["flow_run_id"]
    stack.wait(lambda: states(stack, flow_run)[-1] == "COMPLETED", GONE_SECONDS, "Prefect to hear of the end")
    assert states(stack, flow_run) == ["SCHEDULED", "PENDING", "RUNNING", "COMPLETED"]


def test_each_flow_run_has_a_process_of_its_own_that_ends_with_it(stack: Stack) -> None:
    parent = spare(stack)
    pids = set()
    for _ in range(2):
        run = started(stack, "long")
        process = measuring(stack)
        assert process.ppid() == parent.pid
        below = [process, *parent.children(recursive=True)]
        pids.add(process.pid)
        stack.command("cancel", run)
        stack.wait(lambda: not stack.flow_runs(), GONE_SECONDS, "the flow run's process to end")
        alive = [one for one in below if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        assert len(alive) == 1, alive  # the fork server that forks the next flow run's
    assert len(pids) == 2
    assert spare(stack) == parent


def test_a_spare_that_was_killed_is_replaced_and_the_flow_run_runs_once(stack: Stack) -> None:
    before = spare(stack)
    before.kill()
    assert_ran_once(stack, started(stack, "short"))
    assert spare(stack) != before


def test_a_spare_that_hangs_is_replaced_and_the_flow_run_runs_once(stack: Stack) -> None:
    before = spare(stack)
    before.suspend()
    assert_ran_once(stack, started(stack, "short"))
    assert not before.is_running()


def test_a_spare_that_dies_under_a_flow_run_takes_it_along_and_the_next_attempt_completes_the_batch(
    stack: Stack,
) -> None:
    run = started(stack, "long")
    process = measuring(stack)
    spare(stack).kill()
    stack.wait(lambda: not process.is_running(), GONE_SECONDS, "the flow run to end")
    stack.wait(lambda: len(stack.events(run, "batch_claimed")) == 2, RUN_SECONDS, "the next attempt")
    [released] = stack.events(run, "batch_released")
    assert "attempt 1" in released["message"]
    stack.command("cancel", run)
    assert stack.ended(run, RUN_SECONDS) == "cancelled"


def test_a_flow_run_that_is_cancelled_in_prefect_ends_and_its_batch_is_tried_again(stack: Stack) -> None:
    run = started(stack, "long")
    process = measuring(stack)
    [batch] = stack.get(f"/v1/runs/{run}/batches")["items"]
    flow_run = batch["flow_run_id"]
    asked = {"state": {"type": "CANCELLING"}}
    httpx.post(of_prefect(stack, f"/flow_runs/{flow_run}/set_state"), json=asked, timeout=20).raise_for_status()
    stack.wait(lambda: not process.is_running(), GONE_SECONDS, "the flow run to end")
    stack.wait(lambda: states(stack, flow_run)[-1] == "CANCELLED", GONE_SECONDS, "Prefect to hear of the end")
    stack.wait(lambda: len(stack.events(run, "batch_claimed")) == 2, RUN_SECONDS, "the next attempt")
    stack.command("cancel", run)
    assert stack.ended(run, RUN_SECONDS) == "cancelled"


@pytest.mark.parametrize("is_frozen", [False, True])
def test_nothing_outlives_a_worker_that_was_killed(stack: Stack, is_frozen: bool) -> None:
    run = started(stack, "long")
    process, parent = measuring(stack), spare(stack)
    doomed = [parent, process, *parent.children(recursive=True)]
    if is_frozen:
        parent.suspend()
    [worker] = [found for found in stack.processes("-m workers.process") if "app.embedded.guard" not in found.cmdline()]
    worker.kill()
    stack.wait(
        lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in doomed),
        GONE_SECONDS,
        "spare, flow run, fork servers and children to be gone",
    )
    stack.command("cancel", run)
    assert stack.ended(run, RUN_SECONDS) == "cancelled"

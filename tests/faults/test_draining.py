"""Workers that are told to stop, on a real Prefect: what they finish, give back, and leave to others.

Seed: the experiments' own (0). Expected: no sample is measured twice or lost but the one that a second signal ends.
Time limit: 3 s when idle, 20 s with a sample of about a second.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.part import free_ports
from tests.stack import Stack
from tests.user import COREPOINT

pytestmark = pytest.mark.timeout(240)

DATASET = """
apiVersion: corepoint/v1
kind: Dataset
name: blobs
source: {generate: {kind: blobs, n: 20000, centers: 20, spread: 0.3, seed: 1}}
"""
EXPERIMENT = """
apiVersion: corepoint/v1
kind: Experiment
name: {name}
datasets: [blobs]
parameters: {{eps: 0.15, min_samples: 10}}
algorithms:
  - {{name: sequential, algorithm: sklearn-dbscan}}
  - {{name: sequential-again, algorithm: sklearn-dbscan}}
  - {{name: parallel, algorithm: sklearn-dbscan-parallel}}
  - {{name: parallel-again, algorithm: sklearn-dbscan-parallel}}
protocol: {{rounds: {rounds}, reuse: never}}
"""
TRIALS = 4


class Outside:
    """`corepoint worker start`, as on a machine beside the cluster."""

    def __init__(self, stack: Stack, name: str, queue: str) -> None:
        self.name = name
        self.log = stack.folder / f"{name}.log"
        [self.health_port] = free_ports(1)
        options = ["--queue", queue, "--name", name, "--health-port", str(self.health_port)]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*COREPOINT, "worker", "start", *options],
                env={
                    **stack.environment,
                    "COREPOINT_INTERNAL_URL": f"http://127.0.0.1:{stack.ports['internal']}",
                    "PREFECT_API_URL": f"http://127.0.0.1:{stack.ports['prefect']}/api",
                    "PREFECT_HOME": str(stack.folder / name / "prefect"),
                    "COREPOINT_OBJECTS__KIND": "folder",
                    "COREPOINT_OBJECTS__ROOT": str(stack.folder / "objects"),
                    "COREPOINT_SCRATCH": str(stack.folder / name / "scratch"),
                    "COREPOINT_CACHE": str(stack.folder / "cache"),
                },
                stdout=output,
                stderr=output,
            )

    def has_started(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return "worker started" in self.log.read_text()

    def ended(self, seconds: float) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.log.read_text()}") from None


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Its own worker prepares the data and is frozen then: the rest is done by those that the tests start."""
    stack = Stack(tmp_path_factory.mktemp("draining"), traced=False)
    stack.start()
    stack.create(DATASET, "--wait")
    [own] = [found for found in stack.processes("-m workers.process") if "app.embedded.guard" not in found.cmdline()]
    own.suspend()
    yield stack
    own.resume()
    stack.stop()


@pytest.fixture(scope="module")
def start(stack: Stack) -> Iterator[Callable[..., Outside]]:
    """Workers by name: one that an earlier test left running is used again, for they take seconds to start."""
    workers: dict[str, Outside] = {}

    def started(name: str, queue: str = "default") -> Outside:
        if name not in workers or workers[name].process.poll() is not None:
            workers[name] = Outside(stack, name, queue)
            stack.wait(workers[name].has_started, 60, f"the worker {name} to start")
        return workers[name]

    yield started
    for worker in workers.values():
        if worker.process.poll() is None:
            worker.process.terminate()
            worker.ended(60)


def of_prefect(stack: Stack, path: str) -> Any:
    return httpx.post(f"http://127.0.0.1:{stack.ports['prefect']}/api{path}", json={}, timeout=20).json()


def listed(stack: Stack) -> set[str]:
    return {worker["name"] for worker in of_prefect(stack, "/work_pools/corepoint/workers/filter")}


def parts(stack: Stack, run: str) -> list[dict[str, Any]]:
    files = sorted((stack.folder / "objects").glob(f"**/runs/{run}/batches/*/partial-rounds/*.json"))
    return [json.loads(file.read_text()) for file in files]


def only_batch(stack: Stack, run: str) -> dict[str, Any]:
    [batch] = stack.get(f"/v1/runs/{run}/batches")["items"]
    return dict(batch)


def test_an_idle_worker_ends_at_once_and_leaves_the_pool(stack: Stack, start: Callable[..., Outside]) -> None:
    worker = start("idle", "spark")
    assert httpx.get(f"http://127.0.0.1:{worker.health_port}/livez", timeout=5).status_code == httpx.codes.OK
    assert "idle" in listed(stack)
    worker.process.terminate()
    assert worker.ended(3) == 0
    assert "idle" not in listed(stack)


def test_a_drained_worker_loses_no_sample_and_another_completes_its_round(
    stack: Stack, start: Callable[..., Outside]
) -> None:
    first = start("first")
    stack.create(EXPERIMENT.format(name="drained", rounds=1))
    stack.create(EXPERIMENT.format(name="waiting", rounds=1))
    run, waiting = stack.latest_run("drained"), stack.latest_run("waiting")
    stack.wait(lambda: 0 in stack.rounds(run), 60, "the memory pass")
    first.process.terminate()
    assert first.ended(20) == 0

    [part] = parts(stack, run)
    assert 1 <= len(part["samples"]) < TRIALS
    assert set(stack.rounds(run)) == set(range(part["number"]))
    assert only_batch(stack, run)["attempt"] == 2
    assert stack.get(f"/v1/runs/{waiting}")["state"] == "queued"
    by_name = {state: [] for state in ("COMPLETED", "CRASHED", "FAILED", "RUNNING", "PENDING")}
    for flow_run in of_prefect(stack, "/flow_runs/filter"):
        by_name.setdefault(flow_run["state"]["type"], []).append(flow_run["name"])
    assert len(by_name["COMPLETED"]) == 2, by_name  # the dataset's, and the batch that was given back
    assert not any(by_name[state] for state in ("CRASHED", "FAILED", "RUNNING", "PENDING")), by_name

    stack.command("cancel", waiting)
    start("second")
    stack.wait(lambda: stack.get(f"/v1/runs/{run}")["finished_at"], 60, "the run to end")
    assert stack.get(f"/v1/runs/{run}")["state"] == "succeeded"
    rounds = stack.rounds(run)
    assert sorted(rounds) == [0, 1]
    assert [len({sample["trial_id"] for sample in saved["samples"]}) for saved in rounds.values()] == [TRIALS] * 2
    shared = rounds[part["number"]]["samples"]
    assert [sample for sample in shared if sample["attempt"] == 1] == part["samples"]
    assert sum(sample["attempt"] == 2 for sample in shared) == TRIALS - len(part["samples"])
    entries = stack.get(f"/v1/runs/{run}/comparison")["groups"][0]["entries"]
    assert [len(entry["timing"]["samples"]) for entry in entries] == [1] * TRIALS


def test_a_second_signal_ends_the_sample_and_the_batch_is_given_back_all_the_same(
    stack: Stack, start: Callable[..., Outside]
) -> None:
    worker = start("second")
    stack.create(EXPERIMENT.format(name="long", rounds=60))
    run = stack.latest_run("long")
    stack.wait(lambda: 0 in stack.rounds(run), 60, "the memory pass")
    worker.process.terminate()
    worker.process.send_signal(signal.SIGINT)
    assert worker.ended(12) == 1
    assert not stack.flow_runs()
    assert only_batch(stack, run)["attempt"] == 2
    assert "batch_released" in [event["kind"] for event in stack.get(f"/v1/runs/{run}/events?limit=100")["items"]]
    stack.command("cancel", run)

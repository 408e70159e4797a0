"""Processes killed in the middle of a batch. Seed: the experiment's own (0). Expected: the run succeeds, every round is
measured exactly once. Time limit: 120 s after the kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack import Stack

pytestmark = pytest.mark.timeout(240)

RECOVERY_SECONDS = 120
ROUNDS = 8
DOCUMENT = """
apiVersion: corepoint/v1
kind: Dataset
name: blobs
source: {{generate: {{kind: blobs, n: 30000, centers: 20, spread: 0.3, seed: 1}}}}
---
apiVersion: corepoint/v1
kind: Experiment
name: {name}
datasets: [blobs]
parameters: {{eps: 0.15, min_samples: 10}}
algorithms:
  - {{name: sequential, algorithm: sklearn-dbscan}}
  - {{name: parallel, algorithm: sklearn-dbscan-parallel}}
protocol: {{rounds: {rounds}, reuse: never}}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("kills"), traced=False)
    stack.start()
    yield stack
    stack.stop()


def started(stack: Stack, name: str) -> str:
    """A run in which two timed rounds are saved and more are to come."""
    stack.create(DOCUMENT.format(name=name, rounds=ROUNDS))
    run = stack.latest_run(name)
    stack.wait(lambda: 2 in stack.rounds(run), 90, "two timed rounds")
    return run


def finished(stack: Stack, run: str) -> dict[int, int]:
    """The attempt that measured each round, once the run has succeeded."""
    stack.wait(lambda: stack.get(f"/v1/runs/{run}")["finished_at"], RECOVERY_SECONDS, "the run to end")
    assert stack.get(f"/v1/runs/{run}")["state"] == "succeeded"
    rounds = stack.rounds(run)
    assert sorted(rounds) == list(range(ROUNDS + 1))
    trials = stack.get(f"/v1/runs/{run}/comparison")["groups"][0]["entries"]
    assert [len(trial["timing"]["samples"]) for trial in trials] == [ROUNDS, ROUNDS]
    return {number: saved["attempt"] for number, saved in rounds.items()}


def test_a_killed_child_costs_one_sample_which_is_repeated(stack: Stack) -> None:
    run = started(stack, "child-killed")
    child = stack.wait(stack.children_of_samples, 30, "a child that measures")[0]
    child.kill()
    attempts = finished(stack, run)
    assert set(attempts.values()) == {1}
    repeated = [sample["repeated"] for saved in stack.rounds(run).values() for sample in saved["samples"]]
    assert sum(repeated) == 1


def test_a_killed_worker_and_flow_lose_the_present_round_and_no_saved_one(stack: Stack) -> None:
    run = started(stack, "worker-killed")
    for process in [*stack.flow_runs(), *stack.processes("-m", "workers.process")]:
        process.kill()
    saved = set(stack.rounds(run))
    attempts = finished(stack, run)
    assert {number: attempts[number] for number in saved} == dict.fromkeys(saved, 1)
    assert set(attempts.values()) == {1, 2}


def test_killing_corepoint_itself_and_starting_it_again_completes_the_run(stack: Stack) -> None:
    run = started(stack, "all-killed")
    stack.kill()
    stack.wait(lambda: not stack.processes(), 40, "the rest to notice and end")
    saved = set(stack.rounds(run))
    assert len(saved) < ROUNDS + 1
    stack.start()
    attempts = finished(stack, run)
    assert {number: attempts[number] for number in saved} == dict.fromkeys(saved, 1)
    assert set(attempts.values()) == {1, 2}

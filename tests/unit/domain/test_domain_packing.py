"""Rules of packing: what is measured together, for how long, and that nothing is lost or doubled."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_builders import CATALOGUE, QUEUES, RUN, dataset, spec

from app.contracts.problems import ProblemCode
from app.contracts.states import Isolation, QueueName
from app.domain.packing import MAX_BATCH_SECONDS
from app.domain.plan import Plan, PlanError, check, make_plan

ALGORITHMS = [{"algorithm": "tree"}, {"algorithm": "brute"}, {"algorithm": "spark"}]


def plan(n: int = 100_000, **changes: Any) -> Plan:
    experiment = spec(**changes)
    return make_plan(experiment, RUN, {name: dataset(name, n) for name in experiment.datasets}, CATALOGUE, QUEUES)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(10, 3_000_000),
    eps=st.lists(st.floats(0.001, 2.0), min_size=1, max_size=6),
    sizes=st.lists(st.integers(1, 3_000_000), min_size=1, max_size=3, unique=True),
    rounds=st.integers(1, 30),
    colocate=st.booleans(),
    queue=st.sampled_from([None, *QueueName]),
)
def test_every_runnable_trial_is_in_exactly_one_batch_and_skipped_ones_in_none(
    *, n: int, eps: list[float], sizes: list[int], rounds: int, colocate: bool, queue: QueueName | None
) -> None:
    made = plan(
        n,
        parameters={"eps": eps},
        sampleSizes=sizes,
        algorithms=ALGORITHMS,
        datasets=["a", "b"],
        protocol={"rounds": rounds, "colocate": colocate},
        queue=queue,
    )
    batched = [trial_id for batch in made.batches for trial_id in batch.trial_ids]
    by_id = {trial.id: trial for trial in made.trials}
    assert len(batched) == len(set(batched))
    assert set(batched) == {trial.id for trial in made.trials if trial.skipped is None}
    for trial in made.trials:
        assert (trial.queue is None) == (trial.skipped is not None)
    for batch in made.batches:
        trials = [by_id[trial_id] for trial_id in batch.trial_ids]
        assert {trial.queue for trial in trials} == {batch.queue}
        assert len({trial.dataset_sha256 for trial in trials}) == 1
        assert batch.estimated_seconds <= MAX_BATCH_SECONDS or len(trials) == 1 or colocate
    assert [batch.position for batch in made.batches] == list(range(len(made.batches)))


def test_trials_of_one_group_and_queue_are_measured_together() -> None:
    made = plan(algorithms=ALGORITHMS)
    assert [(batch.queue, len(batch.trial_ids)) for batch in made.batches] == [
        (QueueName.DEFAULT, 2),
        (QueueName.SPARK, 1),
    ]


def test_colocation_puts_the_whole_group_where_its_largest_trial_fits() -> None:
    made = plan(
        1_000_000,
        parameters={},
        algorithms=[
            {"algorithm": "tree", "parameters": {"eps": 0.25}},
            {"algorithm": "spark", "parameters": {"eps": 0.25}},
        ],
        protocol={"colocate": True},
    )
    (batch,) = made.batches
    assert batch.queue is QueueName.HIGH_MEMORY
    assert len(batch.trial_ids) == 2
    assert {trial.routing for trial in made.trials} == {made.trials[0].routing}
    assert made.trials[0].routing.startswith("colocated, the largest estimated")


def test_colocation_does_not_split_a_group_that_is_too_long() -> None:
    made = plan(1_000_000, algorithms=ALGORITHMS, protocol={"colocate": True, "rounds": 100})
    (batch,) = made.batches
    assert batch.estimated_seconds > MAX_BATCH_SECONDS


def test_small_groups_share_a_batch_within_one_dataset_version() -> None:
    made = plan(1_000, datasets=["a", "b"], parameters={"eps": [0.1, 0.2, 0.3]})
    assert [len(batch.trial_ids) for batch in made.batches] == [6, 6]


def test_a_long_sweep_is_many_batches_none_of_them_longer_than_ten_minutes() -> None:
    made = plan(1_000, parameters={"eps": [k / 100 for k in range(1, 201)]})
    assert len(made.batches) > 4
    assert all(MAX_BATCH_SECONDS / 2 < batch.estimated_seconds <= MAX_BATCH_SECONDS for batch in made.batches[:-1])


def test_a_fit_counts_no_longer_than_its_limit_lets_it_run() -> None:
    limited = plan(
        1_000_000, algorithms=[{"algorithm": "tree"}], protocol={"limits": {"sampleSeconds": 2}, "rounds": 5}
    )
    assert limited.batches[0].estimated_seconds == (5 + 1 + 1) * 2 + (5 + 1) * 1


def test_batches_have_stable_ids_and_an_order_of_their_own() -> None:
    first, again = plan(datasets=["a", "b"]), plan(datasets=["a", "b"])
    assert first.batches == again.batches
    assert len({batch.order_seed for batch in first.batches}) == 2


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(10, 1_000_000),
    eps=st.lists(st.floats(0.001, 2.0), min_size=1, max_size=6),
    algorithms=st.lists(st.sampled_from(["tree", "brute", "spark"]), min_size=1, max_size=3, unique=True),
    queue=st.sampled_from([None, *QueueName]),
)
def test_isolation_by_pod_makes_a_batch_of_every_trial_but_the_distributed_ones(
    *, n: int, eps: list[float], algorithms: list[str], queue: QueueName | None
) -> None:
    experiment = {"parameters": {"eps": eps}, "algorithms": [{"algorithm": name} for name in algorithms]}
    isolated = plan(n, **experiment, datasets=["a", "b"], protocol={"isolation": "pod"}, queue=queue)
    shared = plan(n, **experiment, datasets=["a", "b"], queue=queue)
    assert [trial.id for trial in isolated.trials] == [trial.id for trial in shared.trials]
    assert [trial.queue for trial in isolated.trials] == [trial.queue for trial in shared.trials]
    by_id = {trial.id: trial for trial in isolated.trials}
    for batch in isolated.batches:
        trials = [by_id[trial_id] for trial_id in batch.trial_ids]
        distributed = {trial.algorithm == "spark" for trial in trials}
        assert len(distributed) == 1
        assert batch.isolation is (Isolation.PROCESS if distributed.pop() else Isolation.POD)
        assert batch.isolation is Isolation.PROCESS or len(trials) == 1
    batched = [trial_id for batch in isolated.batches for trial_id in batch.trial_ids]
    assert sorted(batched) == sorted(trial.id for trial in isolated.trials if trial.skipped is None)
    assert {batch.isolation for batch in shared.batches} <= {Isolation.PROCESS}


def test_distributed_trials_stay_packed_beside_isolated_ones() -> None:
    made = plan(1_000, parameters={"eps": [0.1, 0.2]}, algorithms=ALGORITHMS, protocol={"isolation": "pod"})
    assert [(batch.queue, batch.isolation, len(batch.trial_ids)) for batch in made.batches] == [
        (QueueName.DEFAULT, Isolation.POD, 1),
        (QueueName.DEFAULT, Isolation.POD, 1),
        (QueueName.SPARK, Isolation.PROCESS, 2),
        (QueueName.DEFAULT, Isolation.POD, 1),
        (QueueName.DEFAULT, Isolation.POD, 1),
    ]


def test_isolation_and_colocation_exclude_each_other() -> None:
    both = spec(protocol={"isolation": "pod", "colocate": True})
    with pytest.raises(PlanError) as refused:
        check(both, CATALOGUE)
    assert (refused.value.code, refused.value.pointer) == (ProblemCode.ISOLATION_CONFLICT, "/protocol/isolation")

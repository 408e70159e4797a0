"""Previews and urgent runs: few rows on `priority`, and never more than `default` could hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning_builders import CATALOGUE, GIB, QUEUES, RUN, dataset, spec

from app.contracts.experiment import ExperimentSpec
from app.contracts.problems import ProblemCode
from app.contracts.states import Isolation, QueueName
from app.domain.plan import Pace, Plan, PlanError, check, make_plan
from app.domain.planned import QueueCapacity
from app.domain.preview import preview_of, refuse_too_many, remark

WITH_SPARK = [{"algorithm": "tree"}, {"algorithm": "spark"}]


def planned(wanted: ExperimentSpec, pace: Pace, queues: tuple[QueueCapacity, ...] = QUEUES) -> Plan:
    return make_plan(wanted, RUN, {"cities": dataset()}, CATALOGUE, queues, pace)


def without(name: QueueName) -> tuple[QueueCapacity, ...]:
    return tuple(queue for queue in QUEUES if queue.name is not name)


@given(
    st.lists(st.integers(1, 10**9) | st.just("all"), min_size=1, max_size=5),
    st.integers(1, 10_000),
)
def test_no_trial_of_a_preview_has_more_rows_than_asked_for(sizes: list[int | str], rows: int) -> None:
    preview = preview_of(spec(sampleSizes=sizes), rows)
    assert preview.sample_sizes == list(dict.fromkeys(rows if s == "all" else min(int(s), rows) for s in sizes))
    for trial in planned(preview, Pace.PREVIEW).trials:
        assert trial.sample_size <= rows


def test_a_preview_has_one_round_tells_nobody_and_is_never_reused() -> None:
    whole = spec(
        protocol={"rounds": 20, "warmUp": 3, "isolation": "pod", "reuse": "auto", "limits": {"sampleSeconds": 4000}},
        schedule={"cron": "0 3 * * *"},
        notifications=[{"url": "http://hooks.example.org"}],
        queue="high-memory",
    )
    preview = preview_of(whole, 500)
    protocol = preview.protocol
    assert (protocol.rounds, protocol.warm_up, protocol.reuse, protocol.isolation) == (1, 0, "never", "process")
    assert protocol.limits.sample_seconds == 120
    assert (preview.schedule, preview.notifications, preview.queue) == (None, [], None)
    assert remark(preview) == "A preview of at most 500 rows in one round: not a measurement."
    assert ExperimentSpec.model_validate(preview.model_dump(mode="json", by_alias=True)) == preview
    assert {batch.isolation for batch in planned(preview, Pace.PREVIEW).batches} == {Isolation.PROCESS}


def test_all_of_a_preview_runs_on_priority_and_what_needs_spark_says_how() -> None:
    plan = planned(preview_of(spec(algorithms=WITH_SPARK), 1_000), Pace.PREVIEW)
    assert {batch.queue for batch in plan.batches} == {QueueName.PRIORITY}
    local, spark = plan.trials
    assert local.routing.startswith("a preview runs on priority; estimated ")
    assert local.routing.endswith("of default")
    assert spark.routing.endswith("with Spark inside the worker, skipped where that has no Java")


def test_without_the_queue_priority_nothing_of_a_preview_can_run() -> None:
    plan = planned(preview_of(spec(), 10), Pace.PREVIEW, without(QueueName.PRIORITY))
    assert plan.batches == ()
    assert {trial.routing for trial in plan.trials} == {"a preview runs on priority, which is not configured here"}


def test_a_preview_of_too_many_trials_is_refused_with_the_number() -> None:
    trials = check(spec(parameters={"eps": [n / 1000 for n in range(1, 52)]}), CATALOGUE)
    with pytest.raises(PlanError) as refused:
        refuse_too_many(trials)
    assert (refused.value.code, refused.value.pointer) == (ProblemCode.GRID_TOO_LARGE, "/preview")
    assert "102 trials" in refused.value.message
    refuse_too_many(100)


def test_an_urgent_run_uses_priority_for_what_fits_default_and_says_so() -> None:
    [trial, _] = planned(spec(), Pace.URGENT).trials
    [usual, _] = planned(spec(), Pace.USUAL).trials
    assert (trial.queue, usual.queue) == (QueueName.PRIORITY, QueueName.DEFAULT)
    assert trial.routing == f"urgent; {usual.routing}"


def test_an_urgent_run_leaves_the_rest_where_it_belongs_and_says_why() -> None:
    wide = {"cities": dataset(n=200_000)}
    large = make_plan(spec(parameters={"eps": 1.0}), RUN, wide, CATALOGUE, QUEUES, Pace.URGENT).trials[0]
    assert large.queue is QueueName.HIGH_MEMORY
    assert large.routing.endswith("fits high-memory (32.0 GiB); urgent, but it does not fit priority")
    spark = planned(spec(algorithms=WITH_SPARK), Pace.URGENT).trials[1]
    assert (spark.queue, spark.routing) == (QueueName.SPARK, "runs on Spark; urgent, but priority does not run Spark")
    nowhere = planned(spec(), Pace.URGENT, without(QueueName.PRIORITY)).trials[0]
    assert nowhere.queue is QueueName.DEFAULT
    assert nowhere.routing.endswith("; urgent, but priority is not configured here")


def test_a_colocated_batch_with_spark_stays_on_default_when_it_is_urgent() -> None:
    plan = planned(spec(algorithms=WITH_SPARK, protocol={"colocate": True}), Pace.URGENT)
    assert [batch.queue for batch in plan.batches] == [QueueName.DEFAULT]
    plan = planned(spec(protocol={"colocate": True}), Pace.URGENT)
    assert [batch.queue for batch in plan.batches] == [QueueName.PRIORITY]


@given(st.floats(0.001, 5.0), st.sampled_from([1, 6, 8, 64]))
def test_urgent_never_sends_to_priority_what_default_could_not_hold(eps: float, priority_gib: int) -> None:
    queues = (*without(QueueName.PRIORITY), QueueCapacity(QueueName.PRIORITY, priority_gib * GIB, 2))
    for trial in planned(spec(parameters={"eps": eps}), Pace.URGENT, queues).trials:
        if trial.queue is QueueName.PRIORITY:
            assert trial.predicted_bytes is not None
            assert trial.predicted_bytes <= min(6, priority_gib) * GIB

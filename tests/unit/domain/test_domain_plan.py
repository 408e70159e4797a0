"""Rules of expansion: what becomes a trial, what is refused, and that equal specifications give equal plans."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_builders import CATALOGUE, QUEUES, RUN, dataset, spec

from app.contracts.experiment import MAX_TRIALS, ExperimentSpec
from app.contracts.failures import FailureCode
from app.contracts.problems import ProblemCode
from app.contracts.states import QueueName
from app.domain.plan import Plan, PlanError, check, make_plan, refuse_reserved_keys


def plan(experiment: ExperimentSpec, n: int = 100_000, d: int = 2, run_id: UUID = RUN) -> Plan:
    datasets = {name: dataset(name, n, d) for name in experiment.datasets}
    return make_plan(experiment, run_id, datasets, CATALOGUE, QUEUES)


def refused(experiment: ExperimentSpec) -> PlanError:
    with pytest.raises(PlanError) as caught:
        check(experiment, CATALOGUE)
    return caught.value


def pointers(error: PlanError) -> set[str]:
    return {one.pointer for one in error.errors}


def test_trials_are_datasets_times_sizes_times_the_grids_of_the_entries() -> None:
    experiment = spec(
        datasets=["a", "b"],
        sampleSizes=[100, "all"],
        parameters={"eps": [0.1, 0.2, 0.3]},
        algorithms=[{"algorithm": "tree", "parameters": {"leaf_size": [10, 20]}}, {"algorithm": "brute"}],
    )
    assert check(experiment, CATALOGUE) == len(plan(experiment).trials) == 2 * 2 * (3 * 2 + 3)


def test_an_entrys_own_value_overrides_the_shared_grid() -> None:
    experiment = spec(algorithms=[{"algorithm": "tree", "parameters": {"eps": 0.7}}, {"algorithm": "brute"}])
    assert [trial.parameters["eps"] for trial in plan(experiment).trials] == [0.7, 0.1]


def test_parameters_are_canonical_so_that_one_and_one_point_zero_are_one_trial() -> None:
    trials = plan(spec(parameters={"eps": [1, 1.0, 1]}, algorithms=[{"algorithm": "tree"}])).trials
    assert [trial.parameters for trial in trials] == [{"eps": 1.0, "min_samples": 5, "leaf_size": 30}]


def test_sizes_of_the_whole_dataset_or_more_collapse_into_one() -> None:
    trials = plan(spec(sampleSizes=["all", 500, 1_000, 2_000], algorithms=[{"algorithm": "tree"}]), n=1_000).trials
    assert [trial.sample_size for trial in trials] == [1_000, 500]


def test_a_comparison_group_shares_data_size_and_problem_and_has_one_reference() -> None:
    experiment = spec(
        parameters={"eps": [0.1, 0.2]},
        algorithms=[{"algorithm": "tree", "parameters": {"leaf_size": [10, 20]}}, {"algorithm": "brute"}],
        reference="brute",
    )
    trials = plan(experiment).trials
    assert [(t.problem["eps"], t.label, t.is_reference) for t in trials] == [
        (0.1, "tree", False),
        (0.1, "tree", False),
        (0.1, "brute", True),
        (0.2, "tree", False),
        (0.2, "tree", False),
        (0.2, "brute", True),
    ]
    assert [t.position for t in trials] == list(range(6))
    assert all(set(t.problem) == {"eps", "min_samples"} for t in trials)


def test_the_first_trial_of_the_reference_entry_is_the_reference() -> None:
    experiment = spec(algorithms=[{"algorithm": "tree", "parameters": {"leaf_size": [20, 10]}}])
    assert [(t.parameters["leaf_size"], t.is_reference) for t in plan(experiment).trials] == [(20, True), (10, False)]


def test_all_contenders_of_a_group_get_the_same_rows_and_results_can_be_reused_across_runs() -> None:
    first, other = plan(spec()).trials, plan(spec(), run_id=UUID(int=8)).trials
    assert len({trial.sample_seed for trial in first}) == 1
    assert [(t.seed, t.sample_seed) for t in first] == [(t.seed, t.sample_seed) for t in other]
    assert {t.id for t in first}.isdisjoint(t.id for t in other)


def test_a_grid_of_ten_million_trials_is_refused_by_arithmetic_alone() -> None:
    axes = {name: list(range(1, 216)) for name in ("eps", "min_samples", "leaf_size")}
    experiment = spec(parameters=axes, algorithms=[{"algorithm": "tree"}])
    started = time.perf_counter()
    error = refused(experiment)
    assert time.perf_counter() - started < 0.5
    assert error.code is ProblemCode.GRID_TOO_LARGE
    assert str(215**3) in error.message
    assert str(MAX_TRIALS) in error.message


def test_the_limit_itself_is_allowed_and_one_more_is_not() -> None:
    assert check(spec(parameters={"eps": list(range(1, 1001))}, sampleSizes=[1, 2, 3, 4, 5], **ONE), CATALOGUE) == 5_000
    too_many = spec(parameters={"eps": list(range(1, 835))}, sampleSizes=[1, 2, 3, 4, 5, 6], **ONE)
    assert refused(too_many).code is ProblemCode.GRID_TOO_LARGE


ONE: dict[str, Any] = {"algorithms": [{"algorithm": "tree"}]}


def test_every_invalid_value_is_named_where_it_was_written() -> None:
    experiment = spec(
        parameters={"eps": [0.1, -1], "min_samples": 5},
        algorithms=[
            {"algorithm": "tree"},
            {"algorithm": "brute", "parameters": {"min_samples": 0, "colour": "red"}},
            {"algorithm": "unheard-of"},
        ],
    )
    error = refused(experiment)
    assert pointers(error) == {
        "/parameters/eps",
        "/algorithms/1/parameters/min_samples",
        "/algorithms/1/parameters/colour",
        "/algorithms/2/algorithm",
    }
    assert any("eps = -1" in one.message for one in error.errors)


def test_an_unknown_algorithm_has_its_own_code() -> None:
    error = refused(spec(algorithms=[{"algorithm": "unheard-of"}]))
    assert (error.code, error.pointer) == (ProblemCode.UNKNOWN_ALGORITHM, "/algorithms/0/algorithm")


def test_a_missing_required_parameter_is_named_at_its_entry() -> None:
    assert pointers(refused(spec(parameters={}))) == {"/algorithms/0/parameters/eps", "/algorithms/1/parameters/eps"}


def test_a_shared_parameter_is_left_out_for_an_algorithm_that_lacks_it() -> None:
    experiment = spec(
        parameters={"eps": 0.1, "partitions": [2, 4, 8]}, algorithms=[{"algorithm": "tree"}, {"algorithm": "spark"}]
    )
    assert [t.label for t in plan(experiment).trials] == ["tree", "spark", "spark", "spark"]
    assert "partitions" not in plan(experiment).trials[0].parameters


def test_a_shared_parameter_that_no_algorithm_has_is_an_error() -> None:
    assert pointers(refused(spec(parameters={"eps": 0.1, "epsilon": 0.1}))) == {"/parameters/epsilon"}


def test_values_that_are_valid_alone_but_not_together_are_found_before_anything_is_planned() -> None:
    experiment = spec(parameters={"eps": 0.1, "min_samples": [5, 13], "leaf_size": [30, 13]})
    error = refused(experiment)
    assert error.code is ProblemCode.INVALID_PARAMETER
    assert pointers(error) == {"/algorithms/0/parameters", "/algorithms/1/parameters"}


def test_an_integer_beyond_64_bits_is_refused_instead_of_carried_along() -> None:
    assert pointers(refused(spec(parameters={"eps": 0.1, "min_samples": 10**400}))) == {"/parameters/min_samples"}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"parameters": {"eps": 1, "__prefect_kind": "jinja"}}, "/parameters/__prefect_kind"),
        (
            {"algorithms": [{"algorithm": "tree", "parameters": {"__prefect_kind": "jinja"}}]},
            "/algorithms/0/parameters/__prefect_kind",
        ),
    ],
)
def test_keys_that_prefect_would_interpret_are_refused(changes: dict[str, Any], pointer: str) -> None:
    error = refused(spec(**changes))
    assert (error.code, error.pointer) == (ProblemCode.FORBIDDEN_KEY, pointer)


def test_a_reserved_key_is_found_at_any_depth() -> None:
    with pytest.raises(PlanError) as caught:
        refuse_reserved_keys({"a": [1, {"b/c": {"__prefect_x": 1}}]})
    assert caught.value.pointer == "/a/1/b~1c/__prefect_x"


def test_a_dataset_that_does_not_exist_is_named() -> None:
    with pytest.raises(PlanError) as caught:
        make_plan(spec(datasets=["cities", "nowhere"]), RUN, {"cities": dataset()}, CATALOGUE, QUEUES)
    assert (caught.value.code, caught.value.pointer) == (ProblemCode.UNKNOWN_DATASET, "/datasets/1")


def test_data_outside_the_capabilities_is_skipped_with_the_reason() -> None:
    trials = plan(spec(), d=17).trials
    assert {t.skipped.code for t in trials if t.skipped} == {FailureCode.NOT_SUPPORTED}
    assert all(t.queue is None and "16 dimensions" in t.routing for t in trials)
    assert plan(spec(), d=17).batches == ()


def test_a_trial_that_no_queue_can_hold_is_skipped_with_its_number() -> None:
    (trial,) = plan(spec(parameters={"eps": 1.0}, algorithms=[{"algorithm": "tree"}]), n=1_000_000).trials
    assert trial.skipped is not None
    assert trial.skipped.code is FailureCode.TOO_LARGE
    assert trial.skipped.detail["predicted_bytes"] == trial.predicted_bytes
    assert "GiB > 32.0 GiB of high-memory" in trial.skipped.message
    assert trial.skipped.hint


def test_the_prediction_is_for_the_threads_of_the_queue_that_the_trial_goes_to() -> None:
    (trial,) = plan(spec(parameters={"eps": 0.25}, algorithms=[{"algorithm": "tree"}]), n=1_000_000).trials
    assert trial.queue is QueueName.HIGH_MEMORY
    assert trial.prediction is not None
    pairs = trial.prediction.peak_bytes / 24
    assert trial.prediction.fit_seconds == pytest.approx(1e-6 * pairs / 4, rel=1e-6)


KEYS = st.permutations(["eps", "min_samples", "leaf_size", "partitions"])


@settings(max_examples=40, deadline=None)
@given(shared=KEYS, own=st.permutations(["eps", "leaf_size"]), names=st.permutations(["a", "b"]))
def test_the_plan_does_not_depend_on_the_order_of_keys(shared: list[str], own: list[str], names: list[str]) -> None:
    values: dict[str, Any] = {"eps": [0.1, 0.2], "min_samples": [3, 5], "leaf_size": 20, "partitions": [2, 4]}
    overrides: dict[str, Any] = {"eps": [0.3, 0.1], "leaf_size": [10, 40]}

    def planned(shared: list[str], own: list[str], names: list[str]) -> Plan:
        experiment = spec(
            datasets=["a", "b"],
            parameters={name: values[name] for name in shared},
            algorithms=[
                {"algorithm": "tree", "parameters": {name: overrides[name] for name in own}},
                {"algorithm": "spark"},
            ],
        )
        return make_plan(experiment, RUN, {name: dataset(name) for name in names}, CATALOGUE, QUEUES)

    assert planned(shared, own, names) == planned(sorted(values), sorted(overrides), ["a", "b"])


@settings(max_examples=25, deadline=None)
@given(order=st.permutations([0.1, 0.2, 0.3]), entries=st.permutations(["tree", "brute", "spark"]))
def test_the_order_of_values_and_entries_changes_positions_but_no_trial(order: list[float], entries: list[str]) -> None:
    def ids(order: list[float], entries: list[str]) -> dict[UUID, tuple[int, int]]:
        experiment = spec(parameters={"eps": order}, algorithms=[{"algorithm": name} for name in entries])
        return {trial.id: (trial.seed, trial.sample_seed) for trial in plan(experiment).trials}

    assert ids(order, entries) == ids([0.1, 0.2, 0.3], ["tree", "brute", "spark"])


def test_identical_content_under_two_names_is_measured_once() -> None:
    same = dataset("a")
    trials = make_plan(spec(datasets=["a", "b"]), RUN, {"a": same, "b": same}, CATALOGUE, QUEUES).trials
    assert [trial.label for trial in trials] == ["tree", "brute"]

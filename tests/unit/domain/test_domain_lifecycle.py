"""Rules of states and retries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.contracts.failures import FailureCode
from app.contracts.states import BatchState, DatasetState, QueueName, RunState, TrialState
from app.domain.lifecycle import BATCH, DATASET, RUN, TRIAL, is_terminal, may, predecessors, run_state
from app.domain.retry import MAX_ATTEMPTS, after_failure, after_lost

MEMORY = (FailureCode.MEMOUT, FailureCode.OOM_KILLED)
TABLES: list[tuple[Mapping[Any, frozenset[Any]], Any]] = [
    (RUN, RunState),
    (BATCH, BatchState),
    (TRIAL, TrialState),
    (DATASET, DatasetState),
]


@pytest.mark.parametrize(("table", "states"), TABLES)
def test_every_state_has_its_row_and_every_transition_leads_to_a_state(table: Any, states: Any) -> None:
    assert set(table) == set(states)
    assert all(following in table for row in table.values() for following in row)


@given(table=st.sampled_from(TABLES), data=st.data())
def test_no_sequence_of_events_leaves_a_terminal_state(table: tuple[Any, Any], data: st.DataObject) -> None:
    transitions, states = table
    wishes = data.draw(st.lists(st.sampled_from(list(states)), max_size=30))
    current = next(iter(states))
    ended = None
    for wish in wishes:
        if may(transitions, current, wish):
            current = wish
        if is_terminal(transitions, current):
            ended = ended or current
        assert ended is None or current is ended


def test_the_terminal_states_are_these() -> None:
    ends = {str(state) for table, states in TABLES for state in states if is_terminal(table, state)}
    assert ends == {"succeeded", "partial", "failed", "cancelled", "finished", "lost", "skipped", "ready"}


@pytest.mark.parametrize("state", list(BatchState))
def test_a_batch_finishes_only_while_it_is_running(state: BatchState) -> None:
    assert may(BATCH, state, BatchState.FINISHED) is (state is BatchState.RUNNING)


def test_a_claim_may_come_before_the_submission_was_noted() -> None:
    assert may(BATCH, BatchState.WAITING, BatchState.RUNNING)


def test_a_reused_result_ends_a_trial_that_never_ran() -> None:
    assert may(TRIAL, TrialState.PENDING, TrialState.SUCCEEDED)


def test_predecessors_are_the_inverse_of_the_table() -> None:
    assert predecessors(BATCH, BatchState.RUNNING) == {BatchState.WAITING, BatchState.SUBMITTED}


@pytest.mark.parametrize(
    ("trials", "cancel", "expected"),
    [
        ("", False, RunState.PLANNING),
        ("", True, RunState.CANCELLED),
        ("pending pending", False, RunState.QUEUED),
        ("pending skipped", False, RunState.QUEUED),
        ("pending running", False, RunState.RUNNING),
        ("pending succeeded", False, RunState.RUNNING),
        ("running cancelled", True, RunState.RUNNING),
        ("succeeded skipped", False, RunState.SUCCEEDED),
        ("succeeded failed skipped", False, RunState.PARTIAL),
        ("failed skipped", False, RunState.FAILED),
        ("skipped", False, RunState.FAILED),
        ("succeeded cancelled", True, RunState.CANCELLED),
        ("succeeded succeeded", True, RunState.SUCCEEDED),
    ],
)
def test_the_state_of_a_run_follows_from_its_trials(trials: str, cancel: bool, expected: RunState) -> None:
    assert run_state([TrialState(name) for name in trials.split()], cancel) is expected


@example(count=1, events=[(0, TrialState.RUNNING), (0, TrialState.PENDING)], cancel=False)
@given(
    count=st.integers(1, 4),
    events=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(TrialState)), max_size=40),
    cancel=st.booleans(),
)
def test_whatever_trials_do_their_run_moves_along_its_table(
    count: int, events: list[tuple[int, TrialState]], cancel: bool
) -> None:
    trials = [TrialState.PENDING] * count
    before = run_state(trials, cancel)
    assert may(RUN, RunState.PLANNING, before)
    for index, wish in events:
        if index < count and may(TRIAL, trials[index], wish):
            trials[index] = wish
        after = run_state(trials, cancel)
        assert after is before or may(RUN, before, after)
        before = after


def test_a_lost_batch_is_tried_five_times_in_all_with_growing_delays() -> None:
    retries = [after_lost(attempt, QueueName.DEFAULT) for attempt in range(1, MAX_ATTEMPTS + 1)]
    assert retries[-1] is None
    delays = [retry.delay_seconds for retry in retries if retry is not None]
    assert len(delays) == 4
    assert delays == sorted(set(delays))


def test_attempts_that_a_draining_worker_gave_back_do_not_count() -> None:
    assert after_lost(7, QueueName.SPARK, uncounted=3) is not None
    assert after_lost(8, QueueName.SPARK, uncounted=3) is None


@pytest.mark.parametrize("code", MEMORY)
def test_what_ran_out_of_memory_goes_once_to_the_next_larger_queue(code: FailureCode) -> None:
    retry = after_failure(code, QueueName.DEFAULT, limit_is_users=False)
    assert retry is not None
    assert retry.queue is QueueName.HIGH_MEMORY
    assert retry.reason.endswith("default, tried once on high-memory")
    assert after_failure(code, retry.queue, limit_is_users=False) is None


def test_a_larger_queue_that_is_not_there_is_no_retry() -> None:
    assert after_failure(FailureCode.MEMOUT, QueueName.DEFAULT, False, queues=[QueueName.DEFAULT]) is None


@pytest.mark.parametrize("code", MEMORY)
def test_a_limit_that_the_user_set_is_final(code: FailureCode) -> None:
    assert after_failure(code, QueueName.DEFAULT, limit_is_users=True) is None


@pytest.mark.parametrize("code", [code for code in FailureCode if code not in MEMORY])
def test_every_other_failure_of_a_trial_is_final(code: FailureCode) -> None:
    assert after_failure(code, QueueName.DEFAULT, limit_is_users=False) is None

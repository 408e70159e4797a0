"""Which state may follow which. Terminal states have no successor; a run's state is a function of its trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from app.contracts.states import BatchState, DatasetState, RunState, TrialState

State = TypeVar("State", RunState, BatchState, TrialState, DatasetState)
Table = Mapping[State, frozenset[State]]

_RUN_ENDS: Final = frozenset({RunState.SUCCEEDED, RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED})

RUN: Final[Table[RunState]] = {
    # A run whose trials are all reused, or all refused, is over the moment it is planned.
    RunState.PLANNING: _RUN_ENDS | {RunState.QUEUED, RunState.RUNNING},
    RunState.QUEUED: _RUN_ENDS | {RunState.RUNNING},
    # Back to queued when the only worker is lost and nothing has finished yet.
    RunState.RUNNING: _RUN_ENDS | {RunState.QUEUED},
    RunState.SUCCEEDED: frozenset(),
    RunState.PARTIAL: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
}

BATCH: Final[Table[BatchState]] = {
    # A claim may arrive before the dispatcher has noted that Prefect accepted the flow run.
    BatchState.WAITING: frozenset({BatchState.SUBMITTED, BatchState.RUNNING, BatchState.CANCELLED, BatchState.LOST}),
    # Waiting again when Prefect has forgotten the flow run.
    BatchState.SUBMITTED: frozenset({BatchState.RUNNING, BatchState.WAITING, BatchState.CANCELLED, BatchState.LOST}),
    # Waiting again, with the next attempt, when the worker released the batch or was lost.
    BatchState.RUNNING: frozenset({BatchState.FINISHED, BatchState.WAITING, BatchState.CANCELLED, BatchState.LOST}),
    BatchState.FINISHED: frozenset(),
    BatchState.CANCELLED: frozenset(),
    BatchState.LOST: frozenset(),
}

_TRIAL_ENDS: Final = frozenset({TrialState.SUCCEEDED, TrialState.FAILED, TrialState.SKIPPED, TrialState.CANCELLED})

TRIAL: Final[Table[TrialState]] = {
    # Straight to succeeded when an earlier result is reused.
    TrialState.PENDING: _TRIAL_ENDS | {TrialState.RUNNING},
    TrialState.RUNNING: _TRIAL_ENDS | {TrialState.PENDING},
    TrialState.SUCCEEDED: frozenset(),
    TrialState.FAILED: frozenset(),
    TrialState.SKIPPED: frozenset(),
    TrialState.CANCELLED: frozenset(),
}

DATASET: Final[Table[DatasetState]] = {
    DatasetState.PENDING: frozenset({DatasetState.PREPARING}),
    DatasetState.PREPARING: frozenset({DatasetState.READY, DatasetState.FAILED, DatasetState.PENDING}),
    DatasetState.READY: frozenset(),
    DatasetState.FAILED: frozenset(),
}


def may(table: Table[State], current: State, following: State) -> bool:
    """Whether `following` may come right after `current`. Staying where one is is no transition."""
    return following in table[current]


def is_terminal(table: Table[State], state: State) -> bool:
    return not table[state]


def predecessors(table: Table[State], state: State) -> frozenset[State]:
    """The states from which `state` may be reached: what a guarded UPDATE puts into its WHERE clause."""
    return frozenset(current for current, following in table.items() if state in following)


def run_state(trials: Iterable[TrialState], cancel_requested: bool) -> RunState:
    """The state of a run with these trials; only which states occur matters, not how often.

    Without trials a run is still being planned. A cancelled run is over only when its last trial is.
    """
    states = set(trials)
    if not states:
        return RunState.CANCELLED if cancel_requested else RunState.PLANNING
    if TrialState.RUNNING in states:
        return RunState.RUNNING
    if TrialState.PENDING in states:
        return RunState.QUEUED if states <= {TrialState.PENDING, TrialState.SKIPPED} else RunState.RUNNING
    if TrialState.CANCELLED in states:
        return RunState.CANCELLED
    if TrialState.SUCCEEDED not in states:
        return RunState.FAILED
    return RunState.PARTIAL if TrialState.FAILED in states else RunState.SUCCEEDED

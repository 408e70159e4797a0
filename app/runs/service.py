"""Runs: start, read, wait, cancel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import new_id
from app.contracts.problems import ProblemCode
from app.contracts.states import RunState, RunTrigger
from app.contracts.views import BatchView, EventView, Page, RunView, TrialView
from app.db.models import Experiment, Run, Trial, WorkKind
from app.db.work import want
from app.domain import lifecycle
from app.problems import RefusedError, not_found
from app.requests.names import id_or_name
from app.requests.pages import PageRequest, page
from app.resources import Resources
from app.runs import repository, transitions
from app.runs.events import record
from app.runs.schemas import LogsView
from app.runs.views import batch_view, event_view, run_view, trial_view

_LOOK_SECONDS = 0.25  # a waiting client hears of a change within this; one indexed read each time
_LOG_FLOW_RUNS = 50
_LIST = "runs"


async def start(
    session: AsyncSession,
    experiment: Experiment,
    trigger: RunTrigger,
    now: datetime,
    scheduled_for: datetime | None = None,
    *,
    spec: dict[str, Any] | None = None,
    urgent: bool = False,
) -> RunView:
    """A run in state planning; the dispatcher expands it. `spec` where it is not the experiment's own."""
    run = Run(
        id=new_id(),
        experiment_id=experiment.id,
        spec=spec or experiment.spec,
        trigger=trigger,
        urgent=urgent,
        state=RunState.PLANNING,
        scheduled_for=scheduled_for,
        created_at=now,
    )
    session.add(run)
    await session.flush()
    record(session, run.id, now, "run_created", f"the run was created ({trigger.value}{', urgent' if urgent else ''})")
    await want(session, WorkKind.RUN, run.id, now)
    return run_view(run, experiment.name, ())


async def unfinished(session: AsyncSession, experiment_id: UUID) -> UUID | None:
    return await repository.unfinished(session, experiment_id)


async def list_runs(
    session: AsyncSession, request: PageRequest, experiment: str | None, states: Sequence[RunState]
) -> Page[RunView]:
    """Raises RefusedError not_found for an experiment that does not exist."""
    experiment_id = await _experiment_id(session, experiment) if experiment is not None else None
    rows = await repository.newest(session, request.after_id(_LIST), request.limit + 1, experiment_id, states)
    counts = await repository.trial_counts(session, [run.id for run, _ in rows])
    items = [run_view(run, name, counts[run.id]) for run, name in rows]
    return page(_LIST, request, rows, lambda row: row[0].id, items)


async def get(session: AsyncSession, run_id: UUID) -> RunView:
    return (await _versioned(session, run_id))[1]


async def wait(resources: Resources, run_id: UUID, seconds: float) -> RunView:
    """The run as soon as it changes or has ended, else as it is after `seconds`."""
    until = time.monotonic() + seconds
    first: int | None = None
    while True:
        # No connection is held between two looks: a thousand waiting clients must not empty the pool.
        async with resources.database.read() as session:
            version, view = await _versioned(session, run_id)
        first = version if first is None else first
        left = until - time.monotonic()
        if version != first or lifecycle.is_terminal(lifecycle.RUN, view.state) or left <= 0:
            return view
        await asyncio.sleep(min(_LOOK_SECONDS, left))


async def cancel(session: AsyncSession, run_id: UUID, now: datetime) -> RunView:
    """Raises RefusedError state_conflict if the run has ended."""
    run = await session.get(Run, run_id)
    if run is None:
        raise not_found("run", run_id)
    try:
        await transitions.request_cancel(session, run, now)
    except transitions.Stale as ended:
        raise RefusedError(ProblemCode.STATE_CONFLICT, f"The {ended}.") from None
    return await get(session, run_id)


async def list_trials(session: AsyncSession, run_id: UUID, request: PageRequest) -> Page[TrialView]:
    of = f"trials:{run_id}"
    await demand(session, run_id)
    rows = await repository.trials(session, run_id, request.after_position(of), request.limit + 1)
    return page(of, request, rows, lambda row: row.position, [trial_view(row) for row in rows])


async def list_batches(session: AsyncSession, run_id: UUID, request: PageRequest) -> Page[BatchView]:
    of = f"batches:{run_id}"
    await demand(session, run_id)
    rows = await repository.batches(session, run_id, request.after_position(of), request.limit + 1)
    members = await repository.trial_ids(session, [row.id for row in rows])
    return page(of, request, rows, lambda row: row.position, [batch_view(row, members[row.id]) for row in rows])


async def list_events(session: AsyncSession, run_id: UUID, request: PageRequest) -> Page[EventView]:
    of = f"events:{run_id}"
    await demand(session, run_id)
    rows = await repository.events(session, run_id, request.after_id(of), request.limit + 1)
    return page(of, request, rows, lambda row: row.id, [event_view(row) for row in rows])


async def get_trial(session: AsyncSession, trial_id: UUID) -> TrialView:
    trial = await session.get(Trial, trial_id)
    if trial is None:
        raise not_found("trial", trial_id)
    return trial_view(trial)


async def logs(resources: Resources, run_id: UUID, limit: int) -> LogsView:
    async with resources.database.read() as session:
        await demand(session, run_id)
        flow_runs = await repository.flow_run_ids(session, run_id, _LOG_FLOW_RUNS)
    lines = await resources.logs.run_logs(flow_runs, limit) if flow_runs else []
    return LogsView(available=lines is not None, lines=lines or [])


async def demand(session: AsyncSession, run_id: UUID) -> tuple[Run, str]:
    """The run and its experiment's name. Raises RefusedError not_found."""
    found = await repository.find(session, run_id)
    if found is None:
        raise not_found("run", run_id)
    return found[0], found[1]


async def measured_trials(session: AsyncSession, run_id: UUID, after_position: int, limit: int) -> Sequence[Trial]:
    """By position, with manifests and samples."""
    return await repository.trials(session, run_id, after_position, limit, measured=True)


async def _versioned(session: AsyncSession, run_id: UUID) -> tuple[int, RunView]:
    run, name = await demand(session, run_id)
    counts = await repository.trial_counts(session, [run_id])
    return run.version, run_view(run, name, counts[run_id])


async def _experiment_id(session: AsyncSession, key: str) -> UUID:
    known = id_or_name(key)
    found = await repository.experiment_id(session, known) if known is not None else None
    if found is None:
        raise not_found("experiment", key)
    return found

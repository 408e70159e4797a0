"""Adopted: flow runs that Prefect planned and that are due get their run and batch before a worker takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.clock import now
from app.contracts.states import BatchState
from app.db.models import Batch, Experiment, WorkKind
from app.db.work import want
from app.dispatcher.context import Context
from app.dispatcher.experiments import experiment_tag
from app.gateways.prefect import OUR_TAG, DueFlowRun
from app.runs import schedule, transitions

AT_ONCE = 4
"""Of the database's connections, so that the relay and the other reconcilers have some."""


@dataclass(frozen=True)
class _Answer:
    """What Prefect is to be told of a flow run: its batch, or the state it ends in."""

    batch: Batch | None = None
    state: str = ""
    why: str = ""


async def reconcile(context: Context) -> int:
    """Answers how many were dealt with. A flow run that a worker starts meanwhile finds the same by its claim."""
    due = await context.prefect.due_flow_runs(now(), context.settings.schedules.page)
    by_experiment: dict[UUID, list[DueFlowRun]] = {}
    for flow_run in due:
        by_experiment.setdefault(flow_run.experiment_id, []).append(flow_run)
    free = asyncio.Semaphore(AT_ONCE)

    async def in_turn(flow_runs: Sequence[DueFlowRun]) -> int:
        async with free:
            return sum([await _adopt(context, flow_run) for flow_run in flow_runs])

    return sum(await asyncio.gather(*(in_turn(flow_runs) for flow_runs in by_experiment.values())))


async def _adopt(context: Context, flow_run: DueFlowRun) -> int:
    answer = await _decide(context, flow_run)
    if answer is None:
        return 0
    if answer.batch is not None:
        batch = answer.batch
        tags = (OUR_TAG, experiment_tag(flow_run.experiment_id), f"run:{batch.run_id}")
        parameters = {"batch_id": str(batch.id), "attempt": batch.attempt}
        await context.prefect.give_batch(flow_run.id, parameters, tags)
    else:
        await context.prefect.set_flow_run_state(flow_run.id, answer.state, force=True, message=answer.why)
    return 1


async def _decide(context: Context, flow_run: DueFlowRun) -> _Answer | None:
    """None if somebody else is about to."""
    async with context.database.write() as session:
        experiment = await schedule.locked(session, flow_run.experiment_id, wait=False)
        if experiment is None:
            if await session.get(Experiment, flow_run.experiment_id) is not None:
                return None
            # Its deployment was written again after its removal.
            await want(session, WorkKind.FORGET, flow_run.experiment_id, now())
            return _Answer(state="CANCELLED", why="The experiment was deleted.")
        try:
            batch = await schedule.batch_for(
                session, experiment, flow_run.planned_for, flow_run.id, planner=context, now=now()
            )
        except schedule.NotWantedError as not_wanted:
            # Prefect may have missed a change of the schedule.
            await want(session, WorkKind.EXPERIMENT, experiment.id, now())
            return _Answer(state="CANCELLED", why=str(not_wanted))
        except schedule.NothingToClaimError as nothing:
            return _Answer(state="COMPLETED", why=str(nothing))
        if batch.state is BatchState.WAITING:
            await transitions.submitted(session, batch, flow_run.id, now())
        return _Answer(batch)

"""A scheduled flow run has no batch yet: whoever comes for it first makes the run of its planned time.

That is the dispatcher (it adopts what is due, so that demand counts it) or the flow run itself, by its claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.failures import Failure, FailureCode
from app.contracts.states import BatchState, Isolation, QueueName
from app.db.models import Batch, Experiment, Run
from app.domain.plan import PlanError
from app.runs import transitions
from app.runs.planned_times import account, run_at
from app.runs.planning import DatasetsFailedError, DatasetsPendingError, plan_run
from app.settings import Settings
from workers.algorithms.adapter import Adapter

SCHEDULED_ON = QueueName.DEFAULT
"""The queue of the deployment that the schedule stands on. Its workers have nothing to do with batches of others."""


class Planner(Protocol):
    """What planning a run needs, of the API or of the dispatcher."""

    @property
    def settings(self) -> Settings: ...

    @property
    def catalogue(self) -> Mapping[str, Adapter[Any]]: ...


class NothingToClaimError(Exception):
    """There is no batch for this flow run. What was written has to stay so: commit all the same."""


class NotWantedError(NothingToClaimError):
    """Nor will there be: the time is not (any more) one of the schedule, was missed, or is another flow run's."""


async def batch_for(
    session: AsyncSession,
    experiment: Experiment,
    scheduled_for: datetime,
    flow_run_id: str,
    *,
    planner: Planner,
    now: datetime,
) -> Batch:
    """The batch that this flow run may claim. The caller holds the lock of the experiment's row.

    Raises NothingToClaimError.
    """
    is_next = scheduled_for == experiment.scheduled_next
    if scheduled_for <= now or is_next:
        # The next one may be early: a person can start it in Prefect, and clocks differ.
        made = await account(session, experiment, scheduled_for, now, planner.settings.schedules)
        run = next((run for run in made if run.scheduled_for == scheduled_for), None)
        if run is not None:
            return await _planned(session, run, planner, now)
    known = await run_at(session, experiment.id, scheduled_for)
    if known is None:
        raise NotWantedError(f"The schedule wants no run at {scheduled_for.isoformat()}.")
    return await _own_batch(session, known, flow_run_id)


async def _planned(session: AsyncSession, run: Run, planner: Planner, now: datetime) -> Batch:
    try:
        await plan_run(session, run, planner.catalogue, planner.settings)
    except DatasetsPendingError:
        raise NothingToClaimError("A dataset is not ready; the run is planned when it is.") from None
    except DatasetsFailedError as error:
        await transitions.fail_run(session, run, Failure.of(FailureCode.DATASET_FAILED, str(error)), now)
        raise NothingToClaimError("A dataset could not be prepared; the run has failed.") from None
    except PlanError as error:
        message = "; ".join(found.message for found in error.errors)
        await transitions.fail_run(session, run, Failure.of(FailureCode.NOT_SUPPORTED, message), now)
        raise NothingToClaimError("The specification cannot be planned any more; the run has failed.") from None
    await transitions.roll_up(session, run.id, now)
    first: Batch | None = await session.scalar(
        select(Batch)
        .where(Batch.run_id == run.id, Batch.queue == SCHEDULED_ON, Batch.isolation == Isolation.PROCESS)
        .order_by(Batch.position)
        .limit(1)
    )
    if first is None:
        raise NothingToClaimError(f"No batch of the run is for a worker of {SCHEDULED_ON}; others take what there is.")
    return first


async def _own_batch(session: AsyncSession, run: Run, flow_run_id: str) -> Batch:
    """The batch that this very flow run holds already, by its earlier claim or because the dispatcher adopted it."""
    open_states = (BatchState.WAITING, BatchState.SUBMITTED, BatchState.RUNNING)
    batch: Batch | None = await session.scalar(
        select(Batch)
        .where(Batch.run_id == run.id, Batch.flow_run_id == flow_run_id, Batch.state.in_(open_states))
        .order_by(Batch.position)
        .limit(1)
    )
    if batch is None:
        raise NotWantedError(f"The run {run.id} of this time has other flow runs, was missed, or has ended.")
    return batch


async def locked(session: AsyncSession, experiment_id: UUID, *, wait: bool) -> Experiment | None:
    """The experiment, locked until the end of the transaction; None if it is gone or, without `wait`, locked."""
    return await session.get(
        Experiment, experiment_id, with_for_update={"skip_locked": not wait}, populate_existing=True
    )

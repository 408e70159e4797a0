"""A scheduled flow run has no batch yet: its claim creates the run, once for each planned time."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import new_id
from app.contracts.failures import Failure, FailureCode
from app.contracts.problems import ProblemCode
from app.contracts.states import BatchState, Isolation, QueueName, RunState, RunTrigger
from app.db.models import Batch, Experiment, Run, WorkKind
from app.db.work import want
from app.domain.plan import PlanError
from app.problems import RefusedError, not_found
from app.resources import Resources
from app.runs import transitions
from app.runs.events import record
from app.runs.planning import DatasetsFailedError, DatasetsPendingError, plan_run

SCHEDULED_ON = QueueName.DEFAULT
"""The queue of the deployment that the schedule stands on. Its workers have nothing to do with batches of others."""


class NothingToClaimError(Exception):
    """The run is written and has to stay so, but there is no batch for this flow run."""


async def batch_for(
    session: AsyncSession,
    experiment_id: UUID,
    scheduled_for: datetime,
    flow_run_id: str,
    *,
    resources: Resources,
    now: datetime,
) -> tuple[UUID, int]:
    """The batch that this flow run may claim, and its attempt.

    Raises RefusedError not_found, RefusedError stale_attempt if another flow run stands for this time, and
    NothingToClaimError, after which the transaction must be committed nevertheless.
    """
    experiment = await session.get(Experiment, experiment_id, with_for_update=True)
    if experiment is None:
        raise not_found("experiment", experiment_id)
    known = await _run(session, experiment_id, scheduled_for)
    if known is not None:
        return await _own_batch(session, known, flow_run_id)
    run = Run(
        id=new_id(),
        experiment_id=experiment_id,
        spec=experiment.spec,
        trigger=RunTrigger.SCHEDULED,
        state=RunState.PLANNING,
        scheduled_for=scheduled_for,
        created_at=now,
    )
    session.add(run)
    try:
        await session.flush()
    except IntegrityError:
        raise _stale(scheduled_for) from None
    record(session, run.id, now, "run_created", "the run was created (scheduled)")
    return await _planned(session, run, resources, now)


async def _planned(session: AsyncSession, run: Run, resources: Resources, now: datetime) -> tuple[UUID, int]:
    try:
        await plan_run(session, run, resources.catalogue, resources.settings)
    except DatasetsPendingError:
        await want(session, WorkKind.RUN, run.id, now)
        raise NothingToClaimError("A dataset is not ready; the run is planned when it is.") from None
    except DatasetsFailedError as error:
        await transitions.fail_run(session, run, Failure.of(FailureCode.DATASET_FAILED, str(error)), now)
        raise NothingToClaimError("A dataset could not be prepared; the run has failed.") from None
    except PlanError as error:
        await transitions.fail_run(session, run, Failure.of(FailureCode.NOT_SUPPORTED, str(error)), now)
        raise NothingToClaimError("The specification cannot be planned any more; the run has failed.") from None
    await transitions.roll_up(session, run.id, now)
    first = await session.scalar(
        select(Batch)
        .where(Batch.run_id == run.id, Batch.queue == SCHEDULED_ON, Batch.isolation == Isolation.PROCESS)
        .order_by(Batch.position)
        .limit(1)
    )
    if first is None:
        raise NothingToClaimError(f"No batch of the run is for a worker of {SCHEDULED_ON}; others take what there is.")
    return first.id, first.attempt


async def _own_batch(session: AsyncSession, run: Run, flow_run_id: str) -> tuple[UUID, int]:
    """The batch that this very flow run holds already, by its earlier claim or because the dispatcher adopted it."""
    open_states = (BatchState.WAITING, BatchState.SUBMITTED, BatchState.RUNNING)
    batch = await session.scalar(
        select(Batch)
        .where(Batch.run_id == run.id, Batch.flow_run_id == flow_run_id, Batch.state.in_(open_states))
        .order_by(Batch.position)
        .limit(1)
    )
    if batch is None:
        assert run.scheduled_for is not None  # noqa: S101 - found by it
        raise _stale(run.scheduled_for)
    return batch.id, batch.attempt


async def _run(session: AsyncSession, experiment_id: UUID, scheduled_for: datetime) -> Run | None:
    query = select(Run).where(Run.experiment_id == experiment_id, Run.scheduled_for == scheduled_for)
    found: Run | None = await session.scalar(query)
    return found


def _stale(scheduled_for: datetime) -> RefusedError:
    text = f"The run planned for {scheduled_for.isoformat()} belongs to another flow run."
    return RefusedError(ProblemCode.STALE_ATTEMPT, text)

"""Work of a run: plan it once its datasets are known, roll its state up from its trials, tell its owners the end."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from app.clock import now
from app.contracts.failures import Failure, FailureCode
from app.contracts.states import RunState
from app.db.models import Run
from app.dispatcher.context import Context
from app.dispatcher.notifications import notify
from app.domain.plan import PlanError
from app.runs import transitions
from app.runs.planning import DatasetsFailedError, DatasetsPendingError, plan_run


async def advance(context: Context, run_id: UUID) -> datetime | None:
    """Plans a run in `planning`; a run whose datasets are pending is looked at again when they report."""
    async with context.database.write() as session:
        run = await session.get(Run, run_id)
        if run is None:
            return None
        if run.state is RunState.PLANNING and not run.cancel_requested:
            try:
                await plan_run(session, run, context.catalogue, context.settings)
            except DatasetsPendingError:
                return None
            except DatasetsFailedError as error:
                await transitions.fail_run(session, run, Failure.of(FailureCode.DATASET_FAILED, str(error)), now())
                return None
            except PlanError as error:
                message = "; ".join(found.message for found in error.errors)
                await transitions.fail_run(session, run, Failure.of(FailureCode.NOT_SUPPORTED, message), now())
                return None
            await session.flush()
        await transitions.roll_up(session, run_id, now())
    await notify(context, run_id)
    return None

"""Every change of a dataset's state; the API and the reconcilers both call these. Raises Stale like those of runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.assignment import DatasetReport
from app.contracts.failures import Failure, FailureCode
from app.contracts.states import DatasetState
from app.datasets import repository
from app.db.models import Dataset, WorkKind
from app.db.work import want
from app.domain import lifecycle
from app.runs.transitions import Stale, fail_run
from app.settings import DatasetSettings


async def claim(
    session: AsyncSession, dataset: Dataset, *, flow_run_id: str, worker: str, token_sha256: str, lease_until: datetime
) -> None:
    """A flow run prepares the dataset. The same flow run may claim again."""
    if dataset.state is DatasetState.PREPARING and dataset.flow_run_id != flow_run_id:
        raise Stale(f"dataset {dataset.name} is prepared by flow run {dataset.flow_run_id}")
    await _change(
        session,
        dataset,
        state=DatasetState.PREPARING,
        flow_run_id=flow_run_id,
        worker=worker,
        token_sha256=token_sha256,
        lease_until=lease_until,
    )


async def heartbeat(session: AsyncSession, dataset: Dataset, lease_until: datetime) -> None:
    if dataset.state is not DatasetState.PREPARING:
        raise Stale(f"dataset {dataset.name} is {dataset.state}")
    await _change(session, dataset, lease_until=lease_until)


async def apply_report(session: AsyncSession, dataset: Dataset, report: DatasetReport, now: datetime) -> None:
    """Ready or failed; the runs that wait for it are planned or fail. Applying a report twice changes nothing."""
    if dataset.attempt != report.attempt:
        raise Stale(f"attempt {report.attempt} of dataset {dataset.name} is over")
    if lifecycle.is_terminal(lifecycle.DATASET, dataset.state):
        return
    if report.prepared is None:
        text = "The worker reported neither a prepared dataset nor a failure."
        await _fail(session, dataset, report.failure or Failure.of(FailureCode.INTERNAL, text), now)
        return
    prepared = report.prepared.model_dump(mode="json")
    await _change(
        session, dataset, state=DatasetState.READY, sha256=report.prepared.sha256, prepared=prepared, lease_until=None
    )
    for run in await repository.runs_waiting_for(session, dataset.name):
        await want(session, WorkKind.RUN, run.id, now)


async def lose_dataset(
    session: AsyncSession, dataset: Dataset, reason: str, now: datetime, attempts: int = DatasetSettings().attempts
) -> None:
    """The flow run that prepares it (or was to) is gone: the next attempt, or failed after `attempts` of preparing."""
    if dataset.state is DatasetState.PREPARING and dataset.attempt >= attempts:
        failure = Failure.of(FailureCode.LOST, f"{reason}; {dataset.attempt} attempts are used up")
        await _fail(session, dataset, failure, now)
        return
    await _change(
        session,
        dataset,
        state=DatasetState.PENDING,
        attempt=dataset.attempt + 1,
        flow_run_id=None,
        submitted_at=None,
        worker=None,
        token_sha256=None,
        lease_until=None,
    )
    await want(session, WorkKind.DATASET, dataset.id, now)


async def send_dataset_again(session: AsyncSession, dataset: Dataset, now: datetime) -> None:
    """Prefect forgot the flow run that was to prepare it: the same attempt gets another one."""
    if dataset.state is not DatasetState.PENDING:
        raise Stale(f"dataset {dataset.name} is {dataset.state}")
    await _change(session, dataset, flow_run_id=None, submitted_at=None)
    await want(session, WorkKind.DATASET, dataset.id, now)


async def _fail(session: AsyncSession, dataset: Dataset, failure: Failure, now: datetime) -> None:
    dumped = failure.model_dump(mode="json")
    await _change(session, dataset, state=DatasetState.FAILED, failure=dumped, lease_until=None)
    text = f"The dataset {dataset.name!r} could not be prepared: {failure.message}"
    for run in await repository.runs_waiting_for(session, dataset.name):
        await fail_run(session, run, Failure.of(FailureCode.DATASET_FAILED, text, dataset=dataset.name), now)


async def _change(session: AsyncSession, dataset: Dataset, **values: Any) -> None:
    following: DatasetState = values.get("state", dataset.state)
    if following is not dataset.state and not lifecycle.may(lifecycle.DATASET, dataset.state, following):
        raise Stale(f"dataset {dataset.name} is {dataset.state} and cannot become {following}")
    statement = (
        update(Dataset)
        .where(Dataset.id == dataset.id, Dataset.attempt == dataset.attempt, Dataset.version == dataset.version)
        .values(version=dataset.version + 1, **values)
        .execution_options(synchronize_session="evaluate")
    )
    outcome = cast("CursorResult[Any]", await session.execute(statement))
    if outcome.rowcount != 1:
        raise Stale(f"dataset {dataset.name}, attempt {dataset.attempt}, was changed by somebody else")

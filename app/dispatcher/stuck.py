"""Stuck: submitted long ago and not claimed, or claimed by a flow run that Prefect says has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, select

from app.clock import now
from app.contracts.states import BatchState, DatasetState, Isolation
from app.datasets.transitions import lose_dataset, send_dataset_again
from app.db.models import Batch, Dataset
from app.dispatcher.context import Context
from app.dispatcher.unreported import SILENT_BEATS, adopt_outcome
from app.gateways.prefect import FLOW_RUNS_PAGE, TERMINAL_STATES, FlowRunState
from app.runs import transitions

PENDING = "PENDING"
PAGES = 5
"""Looked at in one turn when each of them has something to repair: after Prefect was emptied, 1,000 batches."""
States = Mapping[str, FlowRunState]


class StuckFlowRuns:
    """Goes through the unclaimed batches page by page, the longest submitted first, and begins again at the end: of
    thousands that wait rightly, none hides one that is stuck."""

    def __init__(self) -> None:
        self._after: tuple[datetime, UUID] | None = None

    async def reconcile(self, context: Context) -> int:
        repaired = await _repair_batches(context, await _silent(context))
        repaired += await _repair_datasets(context, await _suspect_datasets(context))
        for _ in range(PAGES):
            page = await self._unclaimed(context)
            found = await _repair_batches(context, page)
            repaired += found
            self._after = _place(page[-1]) if len(page) == FLOW_RUNS_PAGE else None
            if not found or self._after is None:
                break
        return repaired

    async def _unclaimed(self, context: Context) -> Sequence[Batch]:
        before = now() - timedelta(seconds=context.settings.leases.pending_seconds)
        query = select(Batch).where(Batch.state == BatchState.SUBMITTED, Batch.submitted_at < before)
        if self._after is not None:
            submitted_at, batch_id = self._after
            later = or_(Batch.submitted_at > submitted_at, Batch.id > batch_id)
            query = query.where(Batch.submitted_at >= submitted_at, later)
        async with context.database.read() as session:
            found = await session.scalars(query.order_by(Batch.submitted_at, Batch.id).limit(FLOW_RUNS_PAGE))
            return found.all()


def _place(batch: Batch) -> tuple[datetime, UUID]:
    assert batch.submitted_at is not None  # noqa: S101 - it was asked for
    return batch.submitted_at, batch.id


async def _silent(context: Context) -> Sequence[Batch]:
    """Their number is bounded by the number of workers; those that live are heard again before a page is full."""
    query = select(Batch).where(Batch.state == BatchState.RUNNING, Batch.lease_until < _silent_before(context))
    async with context.database.read() as session:
        return (await session.scalars(query.order_by(Batch.lease_until).limit(FLOW_RUNS_PAGE))).all()


async def _suspect_datasets(context: Context) -> Sequence[Dataset]:
    before = now() - timedelta(seconds=context.settings.leases.pending_seconds)
    unclaimed = (Dataset.state == DatasetState.PENDING) & (Dataset.submitted_at < before)
    silent = (Dataset.state == DatasetState.PREPARING) & (Dataset.lease_until < _silent_before(context))
    query = select(Dataset).where(unclaimed | silent).order_by(Dataset.submitted_at).limit(FLOW_RUNS_PAGE)
    async with context.database.read() as session:
        return (await session.scalars(query)).all()


def _silent_before(context: Context) -> datetime:
    leases = context.settings.leases
    return now() + timedelta(seconds=leases.lease_seconds - SILENT_BEATS * leases.heartbeat_seconds)


async def _repair_batches(context: Context, batches: Sequence[Batch]) -> int:
    states = await _states(context, batches)
    repaired = 0
    for batch in batches:
        with suppress(transitions.Stale):  # claimed, heard or reported since it was read
            repaired += await _repair(context, batch, states.get(batch.flow_run_id or ""))
    return repaired


async def _states(context: Context, entities: Sequence[Batch] | Sequence[Dataset]) -> States:
    ids = [entity.flow_run_id for entity in entities if entity.flow_run_id is not None]
    return await context.prefect.flow_run_states(ids) if ids else {}


async def _repair(context: Context, batch: Batch, state: FlowRunState | None) -> bool:
    if batch.state is BatchState.SUBMITTED and state is None:
        # Prefect forgot it (its database was dropped): the same attempt is submitted again.
        async with context.database.write() as session:
            await transitions.send_again(session, batch, now())
        return True
    if state is not None and state.type in TERMINAL_STATES:
        return await _end(context, batch, state)
    if batch.state is BatchState.SUBMITTED and batch.flow_run_id is not None and _stranded(context, state):
        if batch.isolation is Isolation.POD and await context.prefect.has_infrastructure(batch.flow_run_id):
            return False  # its Job is there, and the pod may wait for a node for long
        return await _give_out_again(context, batch.flow_run_id)
    return False


async def _end(context: Context, batch: Batch, state: FlowRunState) -> bool:
    if batch.isolation is Isolation.POD and context.kubernetes is not None:
        return False  # Prefect only knows that it ended: app/dispatcher/isolated.py asks its pod why
    if await adopt_outcome(context, batch):
        return True
    async with context.database.write() as session:
        reason = f"its flow run ended {state.type}"
        await transitions.lose(session, batch, reason, now(), context.settings.leases.attempts)
    return True


async def _repair_datasets(context: Context, datasets: Sequence[Dataset]) -> int:
    states = await _states(context, datasets)
    repaired = 0
    for dataset in datasets:
        with suppress(transitions.Stale):
            repaired += await _repair_dataset(context, dataset, states.get(dataset.flow_run_id or ""))
    return repaired


async def _repair_dataset(context: Context, dataset: Dataset, state: FlowRunState | None) -> bool:
    if state is None:
        if dataset.state is not DatasetState.PENDING:
            return False  # a flow run that Prefect forgot goes on, and is heard, or its lease ends
        async with context.database.write() as session:
            await send_dataset_again(session, dataset, now())
        return True
    if state.type in TERMINAL_STATES:
        async with context.database.write() as session:
            reason = f"its flow run ended {state.type}"
            await lose_dataset(session, dataset, reason, now(), context.settings.datasets.attempts)
        return True
    if dataset.state is DatasetState.PENDING and dataset.flow_run_id is not None and _stranded(context, state):
        return await _give_out_again(context, dataset.flow_run_id)
    return False


async def _give_out_again(context: Context, flow_run_id: str) -> bool:
    """The worker that took it vanished before it started; nobody else may take a PENDING flow run.

    Asked again right before, for the page is older. Should it start in between, it is given out twice, and the claim
    decides which of the two works.
    """
    if not _stranded(context, await context.prefect.flow_run_state(flow_run_id)):
        return False
    await context.prefect.set_flow_run_state(flow_run_id, "SCHEDULED", force=True)
    return True


def _stranded(context: Context, state: FlowRunState | None) -> bool:
    """Taken by a worker so long ago that it cannot be starting any more. How long it waited before does not count."""
    limit = timedelta(seconds=context.settings.leases.pending_seconds)
    return state is not None and state.type == PENDING and state.since < now() - limit

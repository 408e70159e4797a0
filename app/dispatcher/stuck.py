"""Stuck: submitted long ago and not claimed, or claimed by a flow run that Prefect says has ended."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import or_, select, update

from app.clock import now
from app.contracts.states import BatchState, DatasetState, Isolation
from app.datasets.transitions import lose_dataset
from app.db.models import Batch, Dataset, WorkKind
from app.db.work import want
from app.dispatcher.context import Context
from app.dispatcher.unreported import SILENT_BEATS
from app.gateways.prefect import TERMINAL_STATES, FlowRunState
from app.runs import transitions

PENDING = "PENDING"


async def reconcile(context: Context) -> int:
    repaired = 0
    for batch in await _suspects(context):
        state = await context.prefect.flow_run_state(batch.flow_run_id) if batch.flow_run_id else None
        repaired += await _repair(context, batch, state)
    for dataset in await _suspect_datasets(context):
        state = await context.prefect.flow_run_state(dataset.flow_run_id) if dataset.flow_run_id else None
        repaired += await _repair_dataset(context, dataset, state)
    return repaired


async def _suspects(context: Context) -> Sequence[Batch]:
    leases = context.settings.leases
    moment = now()
    unclaimed = (Batch.state == BatchState.SUBMITTED) & (
        Batch.submitted_at < moment - timedelta(seconds=leases.pending_seconds)
    )
    silence = timedelta(seconds=leases.lease_seconds - SILENT_BEATS * leases.heartbeat_seconds)
    silent = (Batch.state == BatchState.RUNNING) & (Batch.lease_until < moment + silence)
    query = select(Batch).where(or_(unclaimed, silent)).limit(context.settings.dispatcher.page)
    async with context.database.read() as session:
        return (await session.scalars(query)).all()


async def _suspect_datasets(context: Context) -> Sequence[Dataset]:
    moment = now()
    leases = context.settings.leases
    silence = timedelta(seconds=leases.lease_seconds - SILENT_BEATS * leases.heartbeat_seconds)
    unclaimed = (Dataset.state == DatasetState.PENDING) & (
        Dataset.submitted_at < moment - timedelta(seconds=leases.pending_seconds)
    )
    silent = (Dataset.state == DatasetState.PREPARING) & (Dataset.lease_until < moment + silence)
    query = select(Dataset).where(or_(unclaimed, silent)).limit(context.settings.dispatcher.page)
    async with context.database.read() as session:
        return (await session.scalars(query)).all()


async def _repair(context: Context, batch: Batch, state: FlowRunState | None) -> int:
    if batch.state is BatchState.SUBMITTED and state is None:
        # Prefect forgot it (its database was dropped): the same attempt is submitted again.
        async with context.database.write() as session:
            await session.execute(
                update(Batch)
                .where(Batch.id == batch.id, Batch.version == batch.version)
                .values(state=BatchState.WAITING, flow_run_id=None, submitted_at=None, version=Batch.version + 1)
            )
            await want(session, WorkKind.BATCH, batch.id, now())
        return 1
    if state is not None and state.type in TERMINAL_STATES:
        with suppress(transitions.Stale):
            async with context.database.write() as session:
                reason = f"its flow run ended {state.type}"
                await transitions.lose(session, batch, reason, now(), context.settings.leases.attempts)
        return 1
    if batch.state is BatchState.SUBMITTED and _stranded(context, state) and batch.flow_run_id is not None:
        if batch.isolation is Isolation.POD and await context.prefect.has_infrastructure(batch.flow_run_id):
            return 0  # its Job is there, and the pod may wait for a node for long
        # The worker that took it vanished before it started; nobody else may take a PENDING flow run.
        await context.prefect.set_flow_run_state(batch.flow_run_id, "SCHEDULED", force=True)
        return 1
    return 0


async def _repair_dataset(context: Context, dataset: Dataset, state: FlowRunState | None) -> int:
    if dataset.state is DatasetState.PENDING and _stranded(context, state) and dataset.flow_run_id is not None:
        await context.prefect.set_flow_run_state(dataset.flow_run_id, "SCHEDULED", force=True)
        return 1
    if state is not None and state.type not in TERMINAL_STATES:
        return 0
    if dataset.state is DatasetState.PREPARING and state is None:
        return 0
    reason = f"its flow run ended {state.type}" if state else "Prefect does not know its flow run"
    with suppress(transitions.Stale):
        async with context.database.write() as session:
            await lose_dataset(session, dataset, reason, now(), context.settings.datasets.attempts)
    return 1


def _stranded(context: Context, state: FlowRunState | None) -> bool:
    """Taken by a worker so long ago that it cannot be starting any more. How long it waited before does not count."""
    limit = timedelta(seconds=context.settings.leases.pending_seconds)
    return state is not None and state.type == PENDING and state.since < now() - limit

"""What flows say to the control plane of the datasets they prepare."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.tokens import check_token, new_token
from app.contracts.assignment import DatasetAssignment, DatasetClaim, DatasetReport, Heartbeat, HeartbeatReply
from app.contracts.dataset import DatasetSpec
from app.contracts.objects import upload_key
from app.contracts.problems import ProblemCode
from app.contracts.states import DatasetState
from app.datasets import repository, transitions
from app.db.models import Dataset, Upload
from app.domain import lifecycle
from app.problems import RefusedError, not_found
from app.runs.transitions import Stale
from app.settings import LeaseSettings


async def claim(session: AsyncSession, asked: DatasetClaim, leases: LeaseSettings, now: datetime) -> DatasetAssignment:
    """Raises RefusedError not_found, stale_attempt."""
    dataset = await _locked(session, asked.dataset_id)
    owner = (dataset.flow_run_id, dataset.worker)
    others = dataset.state is DatasetState.PREPARING and owner != (asked.flow_run_id, asked.worker)
    ended = lifecycle.is_terminal(lifecycle.DATASET, dataset.state)
    if dataset.attempt != asked.attempt or ended or others:
        text = f"Attempt {asked.attempt} of dataset {dataset.name!r} cannot be claimed."
        raise RefusedError(ProblemCode.STALE_ATTEMPT, text)
    token, token_sha256 = new_token()
    await transitions.claim(
        session,
        dataset,
        flow_run_id=asked.flow_run_id,
        worker=asked.worker,
        token_sha256=token_sha256,
        lease_until=now + timedelta(seconds=leases.lease_seconds),
    )
    spec = DatasetSpec.model_validate(dataset.spec)
    upload = await session.get(Upload, spec.source.upload) if spec.source.upload is not None else None
    return DatasetAssignment(
        dataset_id=dataset.id,
        attempt=dataset.attempt,
        token=token,
        heartbeat_seconds=leases.heartbeat_seconds,
        spec=spec,
        object_key=upload_key(upload.id) if upload is not None else None,
        object_sha256=upload.sha256 if upload is not None else None,
    )


async def heartbeat(
    session: AsyncSession, dataset_id: UUID, beat: Heartbeat, token: str, *, leases: LeaseSettings, now: datetime
) -> HeartbeatReply:
    dataset = await _locked(session, dataset_id)
    if dataset.attempt != beat.attempt or dataset.state is not DatasetState.PREPARING:
        return HeartbeatReply(fenced=True)
    check_token(token, dataset.token_sha256)
    await transitions.heartbeat(session, dataset, now + timedelta(seconds=leases.lease_seconds))
    return HeartbeatReply()


async def report(session: AsyncSession, dataset_id: UUID, told: DatasetReport, token: str, now: datetime) -> None:
    """Raises RefusedError, and Stale for another attempt."""
    dataset = await _locked(session, dataset_id)
    if dataset.attempt != told.attempt or dataset.state is DatasetState.PENDING:
        raise Stale(f"attempt {told.attempt} of dataset {dataset.name} is over")
    check_token(token, dataset.token_sha256)
    await transitions.apply_report(session, dataset, told, now)


async def _locked(session: AsyncSession, dataset_id: UUID) -> Dataset:
    dataset = await repository.find(session, dataset_id, lock=True)
    if dataset is None:
        raise not_found("dataset", dataset_id)
    return dataset

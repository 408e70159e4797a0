"""The internal API of datasets, served on a port of its own."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from app.auth.guard import Worker
from app.auth.tokens import AttemptToken
from app.clock import now
from app.contracts.assignment import DatasetAssignment, DatasetClaim, DatasetReport, Heartbeat, HeartbeatReply
from app.contracts.problems import ProblemCode
from app.datasets import claims
from app.requests.documented import problems
from app.requests.sessions import Provided, WriteSession

router = APIRouter(prefix="/internal/v1", tags=["datasets"], dependencies=[Worker])
_GONE = ProblemCode.NOT_FOUND
_STALE = ProblemCode.STALE_ATTEMPT


@router.post("/datasets:claim", operation_id="claimDataset", responses=problems(_GONE, _STALE, body=True))
async def claim_dataset(asked: DatasetClaim, resources: Provided, session: WriteSession) -> DatasetAssignment:
    return await claims.claim(session, asked, resources.settings.leases, now())


@router.post("/datasets/{dataset_id}:heartbeat", operation_id="beatDataset", responses=problems(_GONE, body=True))
async def beat(
    dataset_id: UUID, beat: Heartbeat, token: AttemptToken, resources: Provided, session: WriteSession
) -> HeartbeatReply:
    return await claims.heartbeat(session, dataset_id, beat, token, leases=resources.settings.leases, now=now())


@router.post(
    "/datasets/{dataset_id}:report", operation_id="reportDataset", responses=problems(_GONE, _STALE, body=True)
)
async def report_dataset(
    dataset_id: UUID, told: DatasetReport, token: AttemptToken, session: WriteSession
) -> HeartbeatReply:
    """Reporting the same attempt twice is reporting it once."""
    await claims.report(session, dataset_id, told, token, now())
    return HeartbeatReply()

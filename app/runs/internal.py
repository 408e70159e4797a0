"""The internal API of batches, served on a port of its own."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.auth.guard import Worker
from app.auth.tokens import AttemptToken
from app.clock import now
from app.contracts.assignment import BatchAssignment, BatchClaim, BatchNote, BatchRelease, Heartbeat, HeartbeatReply
from app.contracts.measurement import BatchReport
from app.contracts.problems import ProblemCode
from app.health.measures import count_stale_write
from app.problems import RefusedError, not_found, problem_response
from app.requests.documented import problems
from app.requests.sessions import Provided, WriteSession
from app.runs import claims, schedule

router = APIRouter(prefix="/internal/v1", tags=["batches"], dependencies=[Worker])
_GONE = ProblemCode.NOT_FOUND
_STALE = ProblemCode.STALE_ATTEMPT


@router.post(
    "/batches:claim",
    operation_id="claimBatch",
    response_model=BatchAssignment,
    responses=problems(_GONE, _STALE, ProblemCode.STATE_CONFLICT, body=True),
)
async def claim_batch(
    asked: BatchClaim, request: Request, resources: Provided, session: WriteSession
) -> BatchAssignment | Response:
    """By batch and attempt, or, for a scheduled flow run, by experiment and planned time."""
    if asked.batch_id is not None and asked.attempt is not None:
        return await claims.claim(session, asked.batch_id, asked.attempt, asked, resources=resources, now=now())
    if asked.experiment_id is None or asked.scheduled_for is None:
        text = "A claim names batch_id and attempt, or experiment_id and scheduled_for."
        raise RefusedError(ProblemCode.INVALID_REQUEST, text)
    experiment = await schedule.locked(session, asked.experiment_id, wait=True)
    if experiment is None:
        raise not_found("experiment", asked.experiment_id)
    try:
        batch = await schedule.batch_for(
            session, experiment, asked.scheduled_for, asked.flow_run_id, planner=resources, now=now()
        )
    except schedule.NothingToClaimError as nothing:
        is_stale = isinstance(nothing, schedule.NotWantedError)
        # Returned, not raised: the run that was just written has to be committed.
        return problem_response(request.scope, _STALE if is_stale else ProblemCode.STATE_CONFLICT, str(nothing))
    return await claims.claim(session, batch.id, batch.attempt, asked, resources=resources, now=now())


@router.post("/batches/{batch_id}:heartbeat", operation_id="beatBatch", responses=problems(_GONE, body=True))
async def beat(
    batch_id: UUID,
    beat: Heartbeat,
    token: AttemptToken,
    *,
    request: Request,
    resources: Provided,
    session: WriteSession,
) -> HeartbeatReply:
    reply = await claims.heartbeat(session, batch_id, beat, token, settings=resources.settings, now=now())
    if reply.fenced:
        count_stale_write(request.scope)
    return reply


@router.post(
    "/batches/{batch_id}:release",
    operation_id="releaseBatch",
    status_code=204,
    responses=problems(_GONE, _STALE, body=True),
)
async def release_batch(
    batch_id: UUID, asked: BatchRelease, token: AttemptToken, resources: Provided, session: WriteSession
) -> None:
    await claims.release(session, batch_id, asked, token, settings=resources.settings, now=now())


@router.post(
    "/batches/{batch_id}:note",
    operation_id="noteBatch",
    status_code=204,
    responses=problems(_GONE, _STALE, body=True),
)
async def note_batch(batch_id: UUID, told: BatchNote, token: AttemptToken, session: WriteSession) -> None:
    await claims.note(session, batch_id, told, token, now())


@router.post("/batches/{batch_id}:report", operation_id="reportBatch", responses=problems(_GONE, _STALE, body=True))
async def report_batch(batch_id: UUID, told: BatchReport, token: AttemptToken, resources: Provided) -> HeartbeatReply:
    """Reporting the same attempt twice is reporting it once."""
    if told.batch_id != batch_id:
        raise RefusedError(ProblemCode.INVALID_REQUEST, "The report is about another batch.")
    # Before the unit of work: the store may be slow, and on SQLite a unit of work keeps every other writer waiting.
    complete = await claims.with_manifests(told, resources.objects)
    async with resources.database.write() as session:
        await claims.report(session, batch_id, complete, token, settings=resources.settings, now=now())
    return HeartbeatReply()

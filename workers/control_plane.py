"""The internal API as a worker sees it: claim, heartbeat, report, release."""

from __future__ import annotations

import ssl
from functools import cache
from types import TracebackType
from typing import Self, TypeVar

import httpx
import stamina
import structlog

from app.contracts.assignment import (
    BatchAssignment,
    BatchClaim,
    BatchNote,
    BatchRelease,
    DatasetAssignment,
    DatasetClaim,
    DatasetReport,
    Heartbeat,
    HeartbeatReply,
    NoteKind,
)
from app.contracts.base import Message
from app.contracts.failures import Failure
from app.contracts.measurement import BatchReport
from workers.settings import WorkerSettings

log = structlog.get_logger()
TOKEN_HEADER = "X-Corepoint-Batch-Token"  # noqa: S105 - a header's name
M = TypeVar("M", bound=Message)
RELEASE_SECONDS = 5.0  # the worker is on its way out
LOSE_SECONDS = 60.0  # nobody waits for this one, and the next attempt begins with it
CLAIM_SECONDS = 180.0  # a restart of the API passes within it, or of its database


class StaleAttemptError(Exception):
    """The control plane has given this attempt up, or it was cancelled: there is nothing to do here."""


@cache
def trusted_authorities() -> ssl.SSLContext:
    """Read once per process: 20 ms of CPU, which a flow run that starts warm finds done."""
    return httpx.create_ssl_context()


class ControlPlane:
    """Blocking client; retries what is safe to repeat, which is everything it says."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        headers = {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"} if settings.api_key else {}
        self._client = httpx.Client(
            base_url=settings.internal_url,
            headers=headers,
            timeout=httpx.Timeout(settings.read_seconds, connect=settings.connect_seconds),
            verify=trusted_authorities(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()

    def claim_batch(self, claim: BatchClaim) -> BatchAssignment:
        """Raises StaleAttemptError when the batch belongs to somebody else or has ended."""
        return self._persist("/internal/v1/batches:claim", claim, BatchAssignment, CLAIM_SECONDS)

    def beat_batch(self, assignment: BatchAssignment, beat: Heartbeat) -> HeartbeatReply:
        """One try: the next beat is the retry."""
        return self._post(
            f"/internal/v1/batches/{assignment.batch_id}:heartbeat", beat, HeartbeatReply, assignment.token
        )

    def report_batch(self, assignment: BatchAssignment, report: BatchReport) -> None:
        path = f"/internal/v1/batches/{assignment.batch_id}:report"
        self._persist(path, report, None, self._settings.report_seconds, assignment.token)

    def note_batch(self, assignment: BatchAssignment, kind: NoteKind, message: str) -> None:
        """One try, and no harm if it fails: the work does not depend on it."""
        note = BatchNote(attempt=assignment.attempt, kind=kind, message=message[:1_000])
        try:
            self._post(f"/internal/v1/batches/{assignment.batch_id}:note", note, None, assignment.token)
        except (StaleAttemptError, httpx.HTTPError) as error:
            log.warning("note not taken", kind=kind, error=str(error))

    def release_batch(self, assignment: BatchAssignment, reason: str) -> None:
        """Give the batch back, quickly: the worker is on its way out, and the lease ends anyway."""
        self._give_back(assignment, BatchRelease(attempt=assignment.attempt, reason=reason), RELEASE_SECONDS)

    def lose_batch(self, assignment: BatchAssignment, failure: Failure) -> None:
        """Give the batch back because what measured it is gone: the attempt counts, the next one goes on."""
        told = BatchRelease(
            attempt=assignment.attempt, reason=failure.message[:1_000], code=failure.code, hint=failure.hint
        )
        self._give_back(assignment, told, LOSE_SECONDS)

    def _give_back(self, assignment: BatchAssignment, told: BatchRelease, seconds: float) -> None:
        self._persist(f"/internal/v1/batches/{assignment.batch_id}:release", told, None, seconds, assignment.token)

    def claim_dataset(self, claim: DatasetClaim) -> DatasetAssignment:
        return self._persist("/internal/v1/datasets:claim", claim, DatasetAssignment, CLAIM_SECONDS)

    def beat_dataset(self, assignment: DatasetAssignment) -> HeartbeatReply:
        path = f"/internal/v1/datasets/{assignment.dataset_id}:heartbeat"
        return self._post(path, Heartbeat(attempt=assignment.attempt), HeartbeatReply, assignment.token)

    def report_dataset(self, assignment: DatasetAssignment, report: DatasetReport) -> None:
        path = f"/internal/v1/datasets/{assignment.dataset_id}:report"
        self._persist(path, report, None, self._settings.report_seconds, assignment.token)

    def _persist(self, path: str, body: Message, answer: type[M] | None, seconds: float, token: str = "") -> M:
        for attempt in stamina.retry_context(
            on=_may_pass, attempts=None, timeout=seconds, wait_initial=0.2, wait_max=5.0, wait_jitter=0.5
        ):
            with attempt:
                return self._post(path, body, answer, token)
        raise AssertionError("stamina ends by returning or raising")

    def _post(self, path: str, body: Message, answer: type[M] | None, token: str) -> M:
        response = self._client.post(
            path,
            content=body.model_dump_json(),
            headers={"Content-Type": "application/json", **({TOKEN_HEADER: token} if token else {})},
        )
        if response.status_code in {httpx.codes.CONFLICT, httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN}:
            raise StaleAttemptError(response.text[:1_000])
        response.raise_for_status()
        return answer.model_validate_json(response.content) if answer else None  # type: ignore[return-value]


def _may_pass(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.is_server_error or error.response.status_code == httpx.codes.TOO_MANY_REQUESTS
    return isinstance(error, httpx.TransportError)

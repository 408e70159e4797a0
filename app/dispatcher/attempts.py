"""An attempt whose pod has ended: lost, or the doing of one trial."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from app.clock import now
from app.contracts.failures import Failure, FailureCode
from app.db.models import Batch
from app.dispatcher.context import Context
from app.dispatcher.unreported import adopt_outcome
from app.domain.pod_diagnosis import Diagnosis
from app.runs import transitions
from app.runs.blamed import blame


async def end(context: Context, batch: Batch, found: Diagnosis, trial_id: UUID | None) -> int:
    """`trial_id`: what was measured, if that is known and was the only thing; the kernel's kill is then laid to it.

    Answers 1. Raises StoreUnavailableError: it may have been finished, and nobody knows.
    """
    if await adopt_outcome(context, batch):
        return 1
    attempts = context.settings.leases.attempts
    with suppress(transitions.Stale):
        async with context.database.write() as session:
            if found.code is FailureCode.OOM_KILLED and trial_id is not None:
                failure = Failure.of(found.code, found.message, found.hint, attempt=batch.attempt)
                queues = context.settings.queues
                await blame(session, batch, trial_id, failure, now(), queues=queues, attempts=attempts)
            else:
                await transitions.lose(session, batch, found.message, now(), attempts, code=found.code, hint=found.hint)
    return 1


async def give_up(context: Context, batch: Batch, failure: Failure) -> int:
    """The batch cannot be started, and would not be the next time. Answers 1."""
    with suppress(transitions.Stale):
        async with context.database.write() as session:
            await transitions.give_up(session, batch, failure, now())
    return 1

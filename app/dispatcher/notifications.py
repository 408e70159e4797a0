"""Tell the owners of a run that it ended: once, and a receiver that is away stops nothing."""

from __future__ import annotations

from uuid import UUID

import httpx

from app.clock import now
from app.contracts.canonical import canonical_json
from app.contracts.experiment import ExperimentSpec, Notification
from app.contracts.states import RunState
from app.db.models import Run
from app.dispatcher.context import Context
from app.runs.events import record

_EVENTS = {RunState.SUCCEEDED: "completed", RunState.PARTIAL: "failed", RunState.FAILED: "failed"}


async def notify(context: Context, run_id: UUID) -> None:
    """Nothing to do for a run that goes on, was cancelled, or has been told."""
    async with context.database.read() as session:
        run = await session.get(Run, run_id)
    if run is None or run.notified_at is not None or run.state not in _EVENTS:
        return
    spec = ExperimentSpec.model_validate(run.spec)
    event = _EVENTS[run.state]
    failures = [await _deliver(context, run, spec, one) for one in spec.notifications if event in one.on]
    async with context.database.write() as session:
        fresh = await session.get(Run, run_id, with_for_update=True)
        if fresh is None:
            return
        fresh.notified_at = now()
        for failure in failures:
            if failure is not None:
                record(session, run_id, now(), "notification_failed", failure)


async def _deliver(context: Context, run: Run, spec: ExperimentSpec, notification: Notification) -> str | None:
    """What went wrong, if anything."""
    body = {
        "event": _EVENTS[run.state],
        "experiment": spec.name,
        "run_id": str(run.id),
        "state": run.state.value,
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
    }
    try:
        await context.webhooks.deliver(str(notification.url), canonical_json(body).encode())
    except (httpx.HTTPError, PermissionError) as error:
        return f"webhook at {notification.url.host} was not told: {type(error).__name__}"
    return None

"""Aged: runs, events, stored answers, Prefect's flow runs and SparkApplications that are past their time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, tuple_

from app.clock import now
from app.db.models import Event, IdempotencyRecord, Run
from app.dispatcher.context import Context
from app.dispatcher.orphaned import ENDED
from app.domain.retention import Fate, Rules
from app.runs.ageing import age, grown_old
from app.settings import RetentionSettings

LONGEST_TURN_SECONDS = 30.0
"""Below `dispatcher.turn_seconds`, which would end it in the middle of a page."""


async def runs(context: Context) -> int:
    return await _page_by_page(context, _runs)


async def events(context: Context) -> int:
    """Of runs that ended long ago and are not pinned."""
    return await _page_by_page(context, _events)


async def requests(context: Context) -> int:
    """Answers that are kept for requests which are repeated with their Idempotency-Key."""
    return await _page_by_page(context, _requests)


async def flow_runs(context: Context) -> int:
    return await _page_by_page(context, _flow_runs)


async def applications(context: Context) -> int:
    """The operator deletes them itself, unless it or the application was made without a time to live."""
    days = context.settings.retention.applications_days
    if context.kubernetes is None or not _applies(context, days):
        return 0
    before = _before(days)
    old = [
        one
        for one in await context.kubernetes.spark_applications()
        if one.state in ENDED and one.created_at is not None and one.created_at < before
    ]
    due = old[: context.settings.retention.page]
    for one in due:
        await context.kubernetes.delete_spark_application(one.name)
    return len(due)


async def _page_by_page(context: Context, page: Callable[[Context], Awaitable[int]]) -> int:
    """Until a page is not full, or the turn has lasted long enough: the next one goes on."""
    ends_at = time.monotonic() + LONGEST_TURN_SECONDS
    deleted = 0
    while context.settings.retention.enabled:
        found = await page(context)
        deleted += found
        if not found or time.monotonic() > ends_at:
            break
    return deleted


async def _runs(context: Context) -> int:
    retention = context.settings.retention
    moment = now()
    async with context.database.read() as session:
        candidates = await grown_old(session, _rules(retention), moment, retention.page)
    objects_due = moment + timedelta(days=retention.objects_days)
    fates = []
    for run_id in candidates:
        async with context.database.write() as session:
            fates.append(await age(session, run_id, _rules(retention), moment, objects_due))
    return sum(one is not Fate.STAYS for one in fates)


async def _events(context: Context) -> int:
    days = context.settings.retention.events_days
    if not _applies(context, days):
        return 0
    old = (
        select(Event.id)
        .join(Run, Run.id == Event.run_id)
        .where(Run.finished_at < _before(days), Event.at < _before(days), Run.pinned.is_(False))
        .limit(context.settings.retention.page)
    )
    return await _delete(context, delete(Event).where(Event.id.in_(old)))


async def _requests(context: Context) -> int:
    days = context.settings.retention.requests_days
    if not _applies(context, days):
        return 0
    key = (IdempotencyRecord.key, IdempotencyRecord.principal)
    old = select(*key).where(IdempotencyRecord.created_at < _before(days)).limit(context.settings.retention.page)
    return await _delete(context, delete(IdempotencyRecord).where(tuple_(*key).in_(old)))


async def _flow_runs(context: Context) -> int:
    days = context.settings.retention.flow_runs_days
    if not _applies(context, days):
        return 0
    return await context.prefect.delete_flow_runs(ended_before=_before(days))


async def _delete(context: Context, statement: Any) -> int:
    async with context.database.write() as session:
        outcome = cast(
            "CursorResult[Any]", await session.execute(statement.execution_options(synchronize_session=False))
        )
    return outcome.rowcount


def _rules(settings: RetentionSettings) -> Rules:
    return Rules(
        runs_days=settings.runs_days,
        runs_per_experiment=settings.runs_per_experiment,
        artifacts_days=settings.artifacts_days,
        previews_days=settings.previews_days,
    )


def _applies(context: Context, days: int) -> bool:
    return context.settings.retention.enabled and days > 0


def _before(days: int) -> datetime:
    return now() - timedelta(days=days)

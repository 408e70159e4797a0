"""The table of reconcilers, and what turns them: each group is a task of its own, so a slow one delays only itself."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from app.dispatcher import (
    adopted,
    departed,
    disrupted,
    held,
    lost,
    missed,
    orphaned,
    registered,
    retention,
    spared,
    stuck_queues,
    unreported,
)
from app.dispatcher.context import Context
from app.dispatcher.gone import GoneWorkers
from app.dispatcher.isolated import IsolatedTrials
from app.dispatcher.pulse import Pulse
from app.dispatcher.stuck import StuckFlowRuns
from app.settings import Settings

log = structlog.get_logger()
Reconcile = Callable[[Context], Awaitable[int]]
JITTER = 0.1
"""So that dispatchers that started together do not turn together for ever."""
AGAIN_SECONDS = 5.0
"""The longest rest of a group in which something failed: what was away is mostly back sooner than a turn is due."""
LONGEST_REST_SECONDS = 30.0
"""A group that rests for an hour shows between that it lives."""


@dataclass(frozen=True)
class Group:
    """Reconcilers that turn one after the other, in this order, with `seconds` of rest after each round."""

    name: str
    seconds: float
    reconcilers: tuple[tuple[str, Reconcile], ...]


def groups(settings: Settings) -> tuple[Group, ...]:
    """Each speaks to as few parts of the world as possible: what is away must delay nobody who does without it."""
    every = settings.dispatcher.reconcile_seconds
    return (
        # Often: this rest is part of how late a lost worker is noticed.
        Group("leases", min(every, 5.0), (("unreported", unreported.reconcile), ("lost", lost.reconcile))),
        Group(
            "prefect",
            every,
            (
                ("registered", registered.reconcile),
                ("stuck", StuckFlowRuns().reconcile),
                ("departed", departed.reconcile),
            ),
        ),
        Group("planned", settings.schedules.adopt_seconds, (("adopted", adopted.reconcile),)),
        # Its own group: all others may wait for what is held.
        Group("held", every, (("held", held.reconcile),)),
        # Its own group: times are accounted for while Prefect is away, too.
        Group("missed", settings.schedules.grace_seconds / 3, (("missed", missed.reconcile),)),
        # Often: a worker that was killed is noticed here first, and a cancelled trial leaves no pod after 10 s.
        Group(
            "pods",
            min(every, 5.0),
            (
                ("gone", GoneWorkers().reconcile),
                ("isolated", IsolatedTrials().reconcile),
                ("spared", spared.reconcile),
                ("orphaned", orphaned.reconcile),
                ("stuck_queues", stuck_queues.reconcile),
            ),
        ),
        Group(
            "retention",
            settings.retention.turn_seconds,
            (
                ("aged_runs", retention.runs),
                ("aged_events", retention.events),
                ("aged_requests", retention.requests),
                ("aged_flow_runs", retention.flow_runs),
                ("aged_applications", retention.applications),
            ),
        ),
        # Its turn is a watch.
        Group("disrupted", min(every, 2.0), (("disrupted", disrupted.reconcile),)),
    )


async def run(context: Context, pulse: Pulse) -> None:
    """Until cancelled. A reconciler that fails is tried again at its next turn, which then comes sooner."""
    await turn_all(groups(context.settings), context, pulse)


async def turn_all(table: Sequence[Group], context: Context, pulse: Pulse) -> None:
    """Each group as a task of its own, until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for group in table:
            tasks.create_task(_turn_for_ever(group, context, pulse), name=group.name)


async def _turn_for_ever(group: Group, context: Context, pulse: Pulse) -> None:
    while True:
        seconds = group.seconds
        for name, reconcile in group.reconcilers:
            pulse.beat(group.name)
            if not await _turn(name, reconcile, context, pulse):
                seconds = min(seconds, AGAIN_SECONDS)
        await _rest(group.name, seconds, pulse)


async def _turn(name: str, reconcile: Reconcile, context: Context, pulse: Pulse) -> bool:
    """Once, within its limit; whatever goes wrong is counted and leaves the others alone. Whether all went well."""
    try:
        async with asyncio.timeout(context.settings.dispatcher.turn_seconds):
            repaired = await reconcile(context)
    except Exception as error:  # what it depends on is away; the next turn sees
        pulse.failed.labels(name).inc()
        log.warning("reconciler failed", reconciler=name, error=repr(error))
        return False
    if repaired:
        pulse.repaired.labels(name).inc(repaired)
        log.info("reconciled", reconciler=name, repaired=repaired)
    return True


async def _rest(group: str, seconds: float, pulse: Pulse) -> None:
    until = time.monotonic() + seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
    while (left := until - time.monotonic()) > 0:
        pulse.beat(group)
        await asyncio.sleep(min(left, LONGEST_REST_SECONDS))

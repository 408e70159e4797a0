"""How reconcilers take turns: what hangs or fails is cut and counted, and delays only its own group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from app.db.engine import Database
from app.dispatcher.context import Context
from app.dispatcher.pulse import Pulse
from app.dispatcher.reconcilers import Group, groups, turn_all
from app.gateways.object_folder import FolderStore
from app.gateways.prefect import PrefectGateway
from app.gateways.webhooks import WebhookGateway
from app.settings import Settings

TURN_SECONDS = 0.05


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    """Nobody here is asked anything."""
    settings = Settings.model_validate({"dispatcher": {"turn_seconds": TURN_SECONDS}})
    database, prefect = Database(settings.database), PrefectGateway(settings.prefect)
    webhooks = WebhookGateway(settings.notifications)
    store = FolderStore(tmp_path, "corepoint", frozenset())
    yield Context(
        settings=settings, database=database, objects=store, prefect=prefect, mlflow=None, webhooks=webhooks,
        catalogue={},
    )  # fmt: skip
    await prefect.aclose()
    await webhooks.aclose()
    await database.close()


class Turns:
    def __init__(self) -> None:
        self.taken: list[str] = []

    async def hangs(self, _: Context) -> int:
        self.taken.append("hangs")
        await asyncio.Event().wait()
        return 0

    async def fails(self, _: Context) -> int:
        self.taken.append("fails")
        raise ConnectionError("away")

    async def repairs(self, _: Context) -> int:
        self.taken.append("repairs")
        return 2

    async def quick(self, _: Context) -> int:
        self.taken.append("quick")
        return 0


async def turned(table: list[Group], context: Context, seconds: float) -> str:
    """What the dispatcher's metrics say after so long."""
    pulse = Pulse()
    with suppress(TimeoutError):
        await asyncio.wait_for(turn_all(table, context, pulse), seconds)
    assert pulse.still() == []
    return generate_latest(pulse.registry).decode()


async def test_what_hangs_or_fails_is_cut_and_counted_and_the_next_in_its_group_has_its_turn(context: Context) -> None:
    turns = Turns()
    row = (("hangs", turns.hangs), ("fails", turns.fails), ("repairs", turns.repairs))
    said = await turned([Group("one", 60.0, row)], context, 20 * TURN_SECONDS)
    assert turns.taken == ["hangs", "fails", "repairs"]
    for name in ("hangs", "fails"):
        assert f'corepoint_dispatcher_failed_turns_total{{reconciler="{name}"}} 1.0' in said
    assert 'corepoint_dispatcher_repaired_total{reconciler="repairs"} 2.0' in said


async def test_a_group_that_hangs_delays_no_other(context: Context) -> None:
    turns = Turns()
    table = [Group("slow", 0.0, (("hangs", turns.hangs),)), Group("fast", 0.001, (("quick", turns.quick),))]
    await turned(table, context, 10 * TURN_SECONDS)
    assert turns.taken.count("quick") > turns.taken.count("hangs") >= 1


def test_every_reconciler_has_one_name_and_every_group_a_rest() -> None:
    table = groups(Settings())
    names = [name for group in table for name, _ in group.reconcilers]
    assert len(set(names)) == len(names)
    assert len({group.name for group in table}) == len(table)
    assert all(group.seconds > 0 for group in table)

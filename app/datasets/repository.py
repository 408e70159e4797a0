from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, literal, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.states import RunState
from app.db.models import Dataset, Experiment, Run


async def find(session: AsyncSession, id_or_name: UUID | str, lock: bool = False) -> Dataset | None:
    query = select(Dataset).where(_is(id_or_name))
    found: Dataset | None = await session.scalar(query.with_for_update() if lock else query)
    return found


async def newest(session: AsyncSession, after: UUID | None, limit: int) -> Sequence[Dataset]:
    query = select(Dataset).order_by(Dataset.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Dataset.id < after)
    return (await session.scalars(query)).all()


async def named(session: AsyncSession, names: Sequence[str], keep: bool = False) -> dict[str, Dataset]:
    """`keep`: they cannot be deleted before this transaction ends."""
    query = select(Dataset).where(Dataset.name.in_(names)).order_by(Dataset.id)
    rows = await session.scalars(query.with_for_update(read=True) if keep else query)
    return {row.name: row for row in rows}


async def user_of(session: AsyncSession, name: str) -> str | None:
    """The name of some experiment whose specification lists the dataset."""
    query = select(Experiment.name).where(_lists(session, name)).limit(1)
    found: str | None = await session.scalar(query)
    return found


async def runs_waiting_for(session: AsyncSession, name: str) -> Sequence[Run]:
    runs = await session.scalars(select(Run).where(Run.state == RunState.PLANNING).order_by(Run.id))
    return [run for run in runs if name in run.spec["datasets"]]


def _is(id_or_name: UUID | str) -> ColumnElement[bool]:
    return Dataset.id == id_or_name if isinstance(id_or_name, UUID) else Dataset.name == id_or_name


def _lists(session: AsyncSession, name: str) -> ColumnElement[bool]:
    if session.get_bind().dialect.name == "postgresql":
        return type_coerce(Experiment.spec, JSONB)["datasets"].contains(type_coerce([name], JSONB))
    members = func.json_each(Experiment.spec, "$.datasets").table_valued("value")
    return exists(select(literal(1)).select_from(members).where(members.c.value == name))

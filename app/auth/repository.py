from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models import ApiKey


async def by_prefix(session: AsyncSession, prefix: str) -> ApiKey | None:
    key: ApiKey | None = await session.scalar(select(ApiKey).where(ApiKey.prefix == prefix))
    return key


async def by_name(session: AsyncSession, name: str) -> ApiKey | None:
    key: ApiKey | None = await session.scalar(select(ApiKey).where(ApiKey.name == name))
    return key


async def newest(session: AsyncSession, after: UUID | None, limit: int) -> Sequence[ApiKey]:
    query = select(ApiKey).order_by(ApiKey.id.desc()).limit(limit)
    if after is not None:
        query = query.where(ApiKey.id < after)
    return (await session.scalars(query)).all()

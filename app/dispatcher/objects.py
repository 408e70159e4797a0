"""Work of objects: what nothing refers to any more goes, and only that. Each handler may be repeated at any point."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import now
from app.contracts.objects import (
    ObjectStore,
    batches_prefix,
    dataset_versions_prefix,
    run_prefix,
    upload_key,
)
from app.contracts.states import DatasetState
from app.db.models import Dataset, Run, Upload
from app.dispatcher.context import Context
from app.runs.ageing import is_referred

PAGE = 500
"""Objects in one go: some seconds, well within the lease of a work row."""
AGAIN = timedelta(days=1)
DATASET_SECONDS = 10.0
"""How long datasets cannot be written while a version is deleted; below the statement's own limit."""


async def of_run(context: Context, run_id: UUID) -> datetime | None:
    """A deleted run has none, unless its results are reused; one that lost its artifacts has its manifests alone."""
    async with context.database.read() as session:
        run = await session.get(Run, run_id)
        if run is None and await is_referred(session, run_id):
            return now() + AGAIN
    if run is not None and run.artifacts_deleted_at is None:
        return None
    prefix = run_prefix(run_id) if run is None else batches_prefix(run_id)
    deleted = await asyncio.to_thread(_delete, context.objects, prefix)
    return now() if deleted == PAGE else None


async def of_dataset(context: Context, version: UUID) -> datetime | None:
    """A version that no dataset has is deleted. `version`: the first half of its sha256.

    A worker that prepares the same bytes again adopts what is there, so none may do so meanwhile.
    """
    prefix = dataset_versions_prefix(version)
    async with context.database.write() as session:
        await _keep_from_being_written(session)
        preparing = select(Dataset.id).where(Dataset.state == DatasetState.PREPARING).limit(1)
        if await session.scalar(preparing) is not None:
            return now() + timedelta(minutes=10)
        used = select(Dataset.id).where(Dataset.sha256.startswith(version.hex)).limit(1)
        if await session.scalar(used) is None:
            async with asyncio.timeout(DATASET_SECONDS):
                await asyncio.to_thread(_delete, context.objects, prefix)
    return None


async def of_upload(context: Context, upload_id: UUID) -> datetime | None:
    """Bytes that no dataset is made of are deleted, those of an upload that was cut short too."""
    if not context.settings.retention.uploads_days:
        return now() + AGAIN
    async with context.database.write() as session:
        # Locked: a dataset that is being made of it holds it until it can be seen.
        upload = await session.get(Upload, upload_id, with_for_update=True)
        used = select(Dataset.id).where(Dataset.spec["source"]["upload"].as_string() == str(upload_id)).limit(1)
        if await session.scalar(used) is not None:
            return None  # asked for again when that dataset is deleted
        if upload is not None:
            await session.delete(upload)
    await asyncio.to_thread(context.objects.delete, upload_key(upload_id))
    return None


async def _keep_from_being_written(session: AsyncSession) -> None:
    """Datasets, until the transaction ends. On SQLite a transaction that writes is alone anyway."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text("LOCK TABLE dataset IN SHARE MODE"))


def _delete(store: ObjectStore, prefix: str) -> int:
    """Up to a page of what lies under `prefix`."""
    keys = list(islice(store.keys(prefix), PAGE))
    for key in keys:
        store.delete(key)
    return len(keys)

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.clock import new_id
from app.contracts.canonical import digest
from app.contracts.dataset import DatasetSpec, PreparedDataset
from app.contracts.failures import Failure
from app.contracts.objects import version_id
from app.contracts.problems import ProblemCode
from app.contracts.states import DatasetState
from app.contracts.views import DatasetView, Page
from app.datasets import repository
from app.datasets.sources import check_source
from app.db.models import Dataset, Upload, WorkKind
from app.db.work import want
from app.problems import RefusedError, not_found
from app.requests.names import id_or_name
from app.requests.pages import PageRequest, page
from app.settings import Settings

_LIST = "datasets"


async def create(
    session: AsyncSession, spec: DatasetSpec, settings: Settings, now: datetime
) -> tuple[DatasetView, bool]:
    """The dataset, and whether it is new: the same specification under the same name is the same dataset.

    Raises RefusedError name_taken, source_forbidden, invalid_request.
    """
    known = await _same(session, spec)
    if known is not None:
        return known, False
    await check_source(session, spec.source, settings)
    document = spec.model_dump(mode="json", by_alias=True)
    upload = await session.get(Upload, spec.source.upload) if spec.source.upload is not None else None
    row = Dataset(
        id=new_id(),
        name=spec.name,
        spec=document,
        upload_sha256=upload.sha256 if upload else None,
        state=DatasetState.PENDING,
        created_at=now,
    )
    try:
        async with session.begin_nested():
            session.add(row)
            await session.flush()
            await want(session, WorkKind.DATASET, row.id, now)
    except IntegrityError:
        known = await _same(session, spec)
        if known is None:
            raise
        return known, False
    return view(row), True


async def list_datasets(session: AsyncSession, request: PageRequest) -> Page[DatasetView]:
    rows = await repository.newest(session, request.after_id(_LIST), request.limit + 1)
    return page(_LIST, request, rows, lambda row: row.id, [view(row) for row in rows])


async def get(session: AsyncSession, key: str) -> DatasetView:
    return view(await _found(session, key))


async def delete(session: AsyncSession, key: str, settings: Settings, now: datetime) -> None:
    """Raises RefusedError state_conflict while an experiment lists it. Its objects follow later, unless others share
    them."""
    row = await _found(session, key, lock=True)
    user = await repository.user_of(session, row.name)
    if user is not None:
        text = f"The experiment {user!r} uses the dataset {row.name!r}; delete the experiment first."
        raise RefusedError(ProblemCode.STATE_CONFLICT, text)
    await session.delete(row)
    await session.flush()
    objects_due = now + timedelta(days=settings.retention.objects_days)
    if row.sha256 is not None:
        await want(session, WorkKind.DATASET_OBJECTS, version_id(row.sha256), objects_due)
    upload = DatasetSpec.model_validate(row.spec).source.upload
    if upload is not None:
        await want(session, WorkKind.UPLOAD, upload, objects_due)


async def used_by(session: AsyncSession, names: Sequence[str]) -> dict[str, Dataset]:
    """The datasets of an experiment that is being written; they cannot go away before it is."""
    return await repository.named(session, names, keep=True)


def view(row: Dataset) -> DatasetView:
    return DatasetView(
        id=row.id,
        name=row.name,
        spec=DatasetSpec.model_validate(row.spec),
        state=row.state,
        attempt=row.attempt,
        sha256=row.sha256,
        upload_sha256=row.upload_sha256,
        profile=row.prepared["profile"] if row.prepared else None,
        failure=Failure.model_validate(row.failure) if row.failure else None,
        created_at=row.created_at,
    )


async def _same(session: AsyncSession, spec: DatasetSpec) -> DatasetView | None:
    row = await repository.find(session, spec.name)
    if row is None:
        return None
    if digest(row.spec) != digest(spec.model_dump(mode="json", by_alias=True)):
        message = f"there is another dataset {spec.name!r}"
        raise RefusedError.at(ProblemCode.NAME_TAKEN, "/name", message)
    return view(row)


async def _found(session: AsyncSession, key: str, lock: bool = False) -> Dataset:
    known = id_or_name(key)
    row = await repository.find(session, known, lock) if known is not None else None
    if row is None:
        raise not_found("dataset", key)
    return row


async def prepared_versions(session: AsyncSession, names: Sequence[str]) -> dict[str, PreparedDataset]:
    """The versions of those among `names` that are ready."""
    rows = await repository.named(session, names)
    return {
        name: PreparedDataset.model_validate(row.prepared) for name, row in rows.items() if row.prepared is not None
    }

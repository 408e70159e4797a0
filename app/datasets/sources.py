"""Which sources a dataset may have: no file and no bucket that an operator has not allowed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from app.contracts.dataset import Source
from app.contracts.problems import ProblemCode
from app.db.models import Upload
from app.problems import RefusedError
from app.settings import Settings


async def check_source(session: AsyncSession, source: Source, settings: Settings) -> None:
    """Raises RefusedError."""
    if source.path is not None and not await asyncio.to_thread(_is_below, source.path, settings.datasets.path_roots):
        # One text for "not there" and "not allowed": the answer must not say which files exist.
        raise _forbidden("/source/path", "no readable file below the folders that the settings allow")
    if source.s3 is not None:
        bucket = source.s3.removeprefix("s3://").partition("/")[0]
        if bucket != settings.objects.bucket and bucket not in settings.objects.allowed_buckets:
            raise _forbidden("/source/s3", f"the bucket {bucket!r} is not among those that the settings allow")
    # Held until the dataset can be seen: an upload that nothing is made of is deleted some day.
    held = {"read": True}
    if source.upload is not None and await session.get(Upload, source.upload, with_for_update=held) is None:
        message = f"there is no upload {source.upload}"
        raise RefusedError.at(ProblemCode.INVALID_REQUEST, "/source/upload", message)


def _is_below(path: str, roots: tuple[Path, ...]) -> bool:
    try:
        resolved = Path(path).resolve(strict=True)
        inside = any(resolved.is_relative_to(root.resolve(strict=True)) for root in roots)
        return inside and resolved.is_file()
    except (OSError, ValueError, RuntimeError):
        return False


def _forbidden(pointer: str, message: str) -> RefusedError:
    return RefusedError.at(ProblemCode.SOURCE_FORBIDDEN, pointer, message)

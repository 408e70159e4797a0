"""Raw bytes to an object: bounded, hashed on the way, the row only once the object is there."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from app.clock import new_id, now
from app.contracts.objects import upload_key
from app.contracts.problems import ProblemCode
from app.contracts.views import UploadView
from app.db.models import Upload, WorkKind
from app.db.work import want
from app.problems import RefusedError
from app.resources import Resources

_CHUNK_BYTES = 1 << 20


async def store_upload(resources: Resources, body: AsyncIterator[bytes], announced: int | None) -> UploadView:
    """Raises RefusedError body_too_large, invalid_request for an empty body, unavailable for a full disk."""
    limit = resources.settings.api.upload_bytes
    if announced is not None and announced > limit:
        raise _too_large(limit)
    upload_id = new_id()
    # The folder is ours alone (0700), so nobody can swap the file between writing and uploading.
    with tempfile.TemporaryDirectory(prefix="corepoint-upload-") as folder:
        target = Path(folder) / "body"
        try:
            size, sha256 = await _receive(body, target, limit)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise RefusedError(ProblemCode.UNAVAILABLE, "There is no room for the upload.") from error
        # Before the object is there: one that is never finished is deleted too.
        async with resources.database.write() as session:
            unused_from = now() + timedelta(days=max(1, resources.settings.retention.uploads_days))
            await want(session, WorkKind.UPLOAD, upload_id, unused_from)
        await asyncio.to_thread(resources.objects.upload, upload_key(upload_id), target)
    async with resources.database.write() as session:
        session.add(Upload(id=upload_id, sha256=sha256, size_bytes=size, created_at=now()))
    return UploadView(id=upload_id, size_bytes=size, sha256=sha256)


async def _receive(body: AsyncIterator[bytes], target: Path, limit: int) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    pending = bytearray()

    def write(file: BinaryIO, chunk: bytes) -> None:
        digest.update(chunk)
        file.write(chunk)

    with target.open("wb") as file:
        async for part in body:
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            pending += part
            if len(pending) >= _CHUNK_BYTES:
                await asyncio.to_thread(write, file, bytes(pending))
                pending.clear()
        await asyncio.to_thread(write, file, bytes(pending))
    if size == 0:
        raise RefusedError(ProblemCode.INVALID_REQUEST, "The body is empty; send the file's bytes.")
    return size, digest.hexdigest()


def _too_large(limit: int) -> RefusedError:
    return RefusedError(ProblemCode.BODY_TOO_LARGE, f"The upload is larger than {limit} bytes.")

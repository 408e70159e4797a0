"""A dataset of a document becomes a dataset of the server: its file is uploaded, what is there already is left."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from uuid import UUID

from app.cli.client import Client, parse, segment
from app.cli.exits import CommandError, NotFoundError, UsageError
from app.cli.output import note
from app.contracts.dataset import DatasetSpec, Source
from app.contracts.quantities import size
from app.contracts.views import DatasetView, UploadView

_FORMATS = {".csv": "csv", ".parquet": "parquet", ".npy": "npy"}


def ensure_dataset(client: Client, spec: DatasetSpec, folder: Path, server_path: bool) -> tuple[Any, str]:
    """The dataset as the server has it, and `created` or `unchanged`.

    Raises CommandError if the name belongs to a dataset with another specification or another file.
    """
    file = None if spec.source.path is None or server_path else folder / spec.source.path
    if file is not None and not file.is_file():
        raise UsageError(f"dataset {spec.name!r}: no file {file}", "`path:` is relative to the document's folder.")
    if file is not None:
        spec = _with_format(spec, file)
    try:
        raw = client.get(f"/v1/datasets/{segment(spec.name)}")
    except NotFoundError:
        if file is not None:
            spec = _of_upload(spec, _upload(client, file).id)
        body = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return client.post("/v1/datasets", body), "created"
    existing = parse(DatasetView, raw)
    upload = existing.spec.source.upload
    if file is not None and upload is not None and existing.upload_sha256 == _sha256(file):
        spec = _of_upload(spec, upload)
    if spec != existing.spec:
        same_but_source = spec.model_copy(update={"source": existing.spec.source})
        what = "another file" if file is not None and same_but_source == existing.spec else "another specification"
        raise CommandError(
            f"dataset {spec.name!r} exists with {what}",
            f"Choose another name, or `corepoint delete dataset {spec.name}` first.",
        )
    return raw, "unchanged"


def _of_upload(spec: DatasetSpec, upload: UUID) -> DatasetSpec:
    return spec.model_copy(update={"source": Source(upload=upload)})


def _with_format(spec: DatasetSpec, file: Path) -> DatasetSpec:
    """The file's suffix names the format, because an upload has no name of its own."""
    detected = _FORMATS.get(file.suffix.lower(), "auto") if spec.format == "auto" else spec.format
    return spec.model_copy(update={"format": detected})


def _upload(client: Client, file: Path) -> UploadView:
    note(f"uploading {file.name} ({size(file.stat().st_size)})")
    return parse(UploadView, client.upload(file))


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

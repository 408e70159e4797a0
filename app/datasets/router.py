from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from app.auth.guard import Read, Write
from app.clock import now
from app.contracts.dataset import DatasetSpec
from app.contracts.problems import ProblemCode
from app.contracts.views import DatasetView, Page, UploadView
from app.datasets import service
from app.datasets.uploads import store_upload
from app.requests.documented import problems
from app.requests.pages import Paging
from app.requests.sessions import Provided, ReadSession, WriteSession

router = APIRouter(prefix="/v1", tags=["datasets"])
UPLOADS_PATH = "/v1/uploads"
_RAW_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "/datasets",
    operation_id="createDataset",
    status_code=202,
    dependencies=[Write],
    responses={
        200: {"model": DatasetView, "description": "It exists already, with this very specification"},
        **problems(ProblemCode.NAME_TAKEN, ProblemCode.SOURCE_FORBIDDEN, body=True),
    },
)
async def create_dataset(
    spec: DatasetSpec, resources: Provided, session: WriteSession, response: Response
) -> DatasetView:
    """A worker prepares and profiles it; `state` says when it is ready."""
    dataset, is_new = await service.create(session, spec, resources.settings, now())
    response.status_code = 202 if is_new else 200
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    return dataset


@router.get(
    "/datasets", operation_id="listDatasets", dependencies=[Read], responses=problems(ProblemCode.INVALID_PAGE_TOKEN)
)
async def list_datasets(paging: Paging, session: ReadSession) -> Page[DatasetView]:
    return await service.list_datasets(session, paging)


@router.get(
    "/datasets/{dataset}", operation_id="getDataset", dependencies=[Read], responses=problems(ProblemCode.NOT_FOUND)
)
async def get_dataset(dataset: str, session: ReadSession) -> DatasetView:
    """By id or name."""
    return await service.get(session, dataset)


@router.delete(
    "/datasets/{dataset}",
    operation_id="deleteDataset",
    status_code=204,
    dependencies=[Write],
    responses=problems(ProblemCode.NOT_FOUND, ProblemCode.STATE_CONFLICT, body=True),
)
async def delete_dataset(dataset: str, resources: Provided, session: WriteSession) -> None:
    """By id or name. Refused while an experiment lists it."""
    await service.delete(session, dataset, resources.settings, now())


@router.post(
    "/uploads",
    operation_id="createUpload",
    status_code=201,
    dependencies=[Write],
    openapi_extra=_RAW_BODY,
    responses=problems(ProblemCode.BODY_TOO_LARGE),
)
async def create_upload(request: Request, resources: Provided) -> UploadView:
    """The file's bytes as they are; the answer's `id` goes into a dataset's `source.upload`."""
    sent = request.headers.get("content-length", "")
    announced = int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 20 else None
    return await store_upload(resources, request.stream(), announced)

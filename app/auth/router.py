from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from app.auth import service
from app.auth.guard import Write
from app.auth.schemas import CreatedKey, KeySpec, KeyView
from app.clock import now
from app.contracts.problems import ProblemCode
from app.contracts.views import Page
from app.problems import RefusedError
from app.requests.documented import problems
from app.requests.pages import Paging
from app.requests.sessions import Provided, ReadSession, WriteSession

router = APIRouter(prefix="/v1/keys", tags=["keys"], dependencies=[Write])


@router.post(
    "",
    operation_id="createKey",
    status_code=201,
    responses=problems(ProblemCode.NAME_TAKEN, ProblemCode.STATE_CONFLICT, body=True),
)
async def create_key(spec: KeySpec, resources: Provided, session: WriteSession) -> CreatedKey:
    """Make an API key. The answer is the only place where the key itself is ever shown."""
    secret = resources.settings.api.key_secret
    if secret is None:
        raise RefusedError(ProblemCode.STATE_CONFLICT, "Keys need the setting api.key_secret, which is not set here.")
    return await service.create_key(session, secret, spec, now())


@router.get("", operation_id="listKeys", responses=problems(ProblemCode.INVALID_PAGE_TOKEN))
async def list_keys(paging: Paging, session: ReadSession) -> Page[KeyView]:
    return await service.list_keys(session, paging)


@router.delete(
    "/{key_id}", operation_id="revokeKey", status_code=204, responses=problems(ProblemCode.NOT_FOUND, body=True)
)
async def revoke_key(key_id: UUID, session: WriteSession) -> None:
    """The key is refused from now on; its entry stays in the list."""
    await service.revoke_key(session, key_id, now())

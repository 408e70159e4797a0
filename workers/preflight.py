"""Whether the parts of a remote corepoint let this worker in, asked before it takes work: a person reads the answer.

Workers in a cluster are not asked: there everything starts at once, and what is not there yet will be.
"""

from __future__ import annotations

import os
import sys
from uuid import UUID

import httpx

from app.contracts.assignment import Heartbeat
from app.contracts.objects import StoreUnavailableError
from app.contracts.problems import Problem
from app.gateways.objects import open_store
from workers.control_plane import TOKEN_HEADER
from workers.settings import WorkerSettings

FAILURE, NOT_ALLOWED = 1, 4  # as the command line's own exit codes
SECONDS = 10.0
_NOBODY = UUID(int=0)


class RefusedError(Exception):
    """A part that cannot be used: which, why, what to do."""

    def __init__(self, message: str, hint: str, code: int = FAILURE) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def verify(settings: WorkerSettings) -> None:
    """Ends the process with a message and a hint if API, Prefect or object store cannot be used."""
    try:
        _internal_api(settings)
        _prefect(os.environ.get("PREFECT_API_URL", ""), os.environ.get("PREFECT_API_AUTH_STRING", ""))
        _object_store(settings)
    except RefusedError as error:
        sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
        sys.exit(error.code)


def _internal_api(settings: WorkerSettings) -> None:
    """Asks about a batch that cannot be: only a worker's key is told that there is none."""
    headers = {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"} if settings.api_key else {}
    url = f"{settings.internal_url.rstrip('/')}/internal/v1/batches/{_NOBODY}:heartbeat"
    body = Heartbeat(attempt=1).model_dump(mode="json")
    try:
        answer = httpx.post(url, json=body, headers={**headers, TOKEN_HEADER: "none"}, timeout=SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RefusedError(
            f"cannot reach the internal API at {settings.internal_url}: {error}",
            "give its address, port 8788 by default, with --server-internal or COREPOINT_INTERNAL_URL",
        ) from error
    if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise RefusedError(
            f"the internal API at {settings.internal_url} does not accept the API key",
            "set COREPOINT_API_KEY to a key with the scope `worker`",
            NOT_ALLOWED,
        )
    if answer.status_code != httpx.codes.NOT_FOUND or str(_NOBODY) not in _detail(answer):
        raise RefusedError(
            f"{settings.internal_url} is not corepoint's internal API (it answered {answer.status_code})",
            "the public API's port is another one: the internal API is at 8788 by default",
        )


def _detail(answer: httpx.Response) -> str:
    try:
        return Problem.model_validate(answer.json(), extra="ignore").detail
    except ValueError:
        return ""


def _prefect(url: str, auth_string: str) -> None:
    user, _, password = auth_string.partition(":")
    try:
        answer = httpx.get(f"{url}/admin/version", auth=(user, password) if auth_string else None, timeout=SECONDS)
        answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        if error.response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            hint = "set PREFECT_API_AUTH_STRING to user:password, as the server has it"
            raise RefusedError(f"Prefect at {url} does not let this worker in", hint, NOT_ALLOWED) from error
        hint = "the address ends with /api, for example http://127.0.0.1:4200/api"
        raise RefusedError(f"Prefect at {url} answered {error.response.status_code}", hint) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        hint = "give its address with --prefect or PREFECT_API_URL, for example http://127.0.0.1:4200/api"
        raise RefusedError(f"cannot reach Prefect at {url!r}: {error}", hint) from error


def _object_store(settings: WorkerSettings) -> None:
    config = settings.objects
    where = str(config.root) if config.kind == "folder" else f"{config.endpoint or 'AWS'}, bucket {config.bucket}"
    try:
        next(iter(open_store(config).keys("runs/")), None)
    except (StoreUnavailableError, OSError, ValueError) as error:
        hint = "see COREPOINT_OBJECTS__ENDPOINT, __BUCKET, __ACCESS_KEY, __SECRET_KEY, or boto3's own AWS_* variables"
        raise RefusedError(f"cannot use the object store ({where}): {error}", hint) from error

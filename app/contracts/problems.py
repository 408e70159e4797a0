"""The catalogue of problems: every error the API answers, with status, title and hint (RFC 9457)."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from app.contracts.base import Message

TYPE_BASE = "https://corepoint.dev/problems/"


class ProblemCode(StrEnum):
    INVALID_REQUEST = "invalid_request"
    INVALID_DOCUMENT = "invalid_document"
    INVALID_PARAMETER = "invalid_parameter"
    UNKNOWN_ALGORITHM = "unknown_algorithm"
    UNKNOWN_DATASET = "unknown_dataset"
    GRID_TOO_LARGE = "grid_too_large"
    NOTHING_FITS = "nothing_fits"
    ISOLATION_NOT_AVAILABLE = "isolation_not_available"
    ISOLATION_CONFLICT = "isolation_conflict"
    PREVIEW_NOT_AVAILABLE = "preview_not_available"
    URGENT_CONFLICT = "urgent_conflict"
    FORBIDDEN_KEY = "forbidden_key"
    NAME_TAKEN = "name_taken"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    REQUEST_IN_FLIGHT = "request_in_flight"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    STATE_CONFLICT = "state_conflict"
    STALE_ATTEMPT = "stale_attempt"
    SOURCE_FORBIDDEN = "source_forbidden"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    INVALID_PAGE_TOKEN = "invalid_page_token"  # noqa: S105 - a code, no secret
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOTIFICATION_HOST_FORBIDDEN = "notification_host_forbidden"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class Entry(NamedTuple):
    status: int
    title: str
    hint: str


CATALOGUE: dict[ProblemCode, Entry] = {
    ProblemCode.INVALID_REQUEST: Entry(
        422, "The request is not valid", "The errors name the place and what is expected there."
    ),
    ProblemCode.INVALID_DOCUMENT: Entry(
        400, "The body cannot be read", "Send one JSON document in UTF-8, without NaN, Infinity or NUL characters."
    ),
    ProblemCode.INVALID_PARAMETER: Entry(
        422, "A parameter of an algorithm is not valid", "`corepoint describe algorithm NAME` lists the parameters."
    ),
    ProblemCode.UNKNOWN_ALGORITHM: Entry(422, "No such algorithm", "`corepoint get algorithms` lists the catalogue."),
    ProblemCode.UNKNOWN_DATASET: Entry(
        422, "No such dataset", "Create the dataset first: `corepoint create -f dataset.yaml`."
    ),
    ProblemCode.GRID_TOO_LARGE: Entry(
        422, "The grid is too large", "Split the experiment, or shorten an axis of the grid."
    ),
    ProblemCode.NOTHING_FITS: Entry(
        422, "No queue can hold any of the trials", "Use a smaller sample size or eps, or give a queue more memory."
    ),
    ProblemCode.ISOLATION_NOT_AVAILABLE: Entry(
        422, "Isolation by pod is not available here", "Use `isolation: process`, or install corepoint on Kubernetes."
    ),
    ProblemCode.ISOLATION_CONFLICT: Entry(
        422,
        "Isolation by pod and colocation exclude each other",
        "Use `isolation: pod` without `colocate`, or `colocate: true` with `isolation: process`.",
    ),
    ProblemCode.PREVIEW_NOT_AVAILABLE: Entry(
        422, "Previews are not available here", "Ask for the queue `priority` to be enabled, or start a run."
    ),
    ProblemCode.URGENT_CONFLICT: Entry(
        422,
        "The run cannot be urgent",
        "A preview goes first anyway. `urgent` needs a run to start, of an experiment without `queue`.",
    ),
    ProblemCode.FORBIDDEN_KEY: Entry(
        422, "A key is reserved", "Keys that begin with `__prefect` are interpreted by Prefect; choose another."
    ),
    ProblemCode.NAME_TAKEN: Entry(409, "The name is taken", "Choose another name, or delete the one that has it."),
    ProblemCode.IDEMPOTENCY_KEY_REUSED: Entry(
        422, "The Idempotency-Key was used for another request", "Use a new key for a new request."
    ),
    ProblemCode.REQUEST_IN_FLIGHT: Entry(
        409, "The same request is being handled", "Repeat it in a second with the same Idempotency-Key."
    ),
    ProblemCode.NOT_FOUND: Entry(404, "Not found", "Check the id or name; `corepoint get` lists what there is."),
    ProblemCode.METHOD_NOT_ALLOWED: Entry(405, "Method not allowed", "The API documentation lists the methods."),
    ProblemCode.STATE_CONFLICT: Entry(
        409, "Not possible in the present state", "Look at the present state with `corepoint describe`."
    ),
    ProblemCode.STALE_ATTEMPT: Entry(
        409, "This attempt is over", "A newer attempt owns the batch, or it has ended; write nothing more."
    ),
    ProblemCode.SOURCE_FORBIDDEN: Entry(
        422, "The source may not be read", "Upload the file, or ask for its folder or bucket to be allowed in settings."
    ),
    ProblemCode.BODY_TOO_LARGE: Entry(413, "The body is too large", "Upload large data as a dataset."),
    ProblemCode.UNSUPPORTED_MEDIA_TYPE: Entry(415, "Unsupported media type", "Send application/json."),
    ProblemCode.INVALID_PAGE_TOKEN: Entry(
        400, "The page token is not valid", "Use the next_page_token of the page before, unchanged."
    ),
    ProblemCode.UNAUTHENTICATED: Entry(
        401, "An API key is needed", "Send `Authorization: Bearer KEY`; POST /v1/keys makes one."
    ),
    ProblemCode.FORBIDDEN: Entry(403, "The API key's scopes do not allow this", "Use a key with the scope named."),
    ProblemCode.NOTIFICATION_HOST_FORBIDDEN: Entry(
        422, "The webhook's host is not allowed", "Ask for the host to be added to notifications.allowed_hosts."
    ),
    ProblemCode.UNAVAILABLE: Entry(
        503, "Not available now", "Something the API needs did not answer; repeat after Retry-After seconds."
    ),
    ProblemCode.INTERNAL: Entry(500, "Internal error", "Report it with the request_id."),
}


class ProblemError(Message):
    """One place in the request; `pointer` is a JSON pointer into the body (RFC 6901), or the parameter's name."""

    pointer: str
    message: str


class Problem(Message):
    """application/problem+json."""

    type: str
    title: str
    status: int
    code: ProblemCode
    detail: str
    hint: str
    instance: str = ""
    request_id: str = ""
    errors: list[ProblemError] = Field(default_factory=list)

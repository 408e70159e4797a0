"""The public API over HTTP: bounded in time, repeated where that is safe, errors as CommandError."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
import stamina
import stamina.instrumentation
from pydantic import BaseModel, ValidationError

from app.cli.exits import AuthError, CommandError, NotFoundError, UnreachableError
from app.cli.settings import Connection
from app.contracts.problems import Problem, ProblemCode
from app.contracts.views import RunView

Model = TypeVar("Model", bound=BaseModel)
Json = Any

PAGE = 100
RUNS_SEARCHED = 1_000
_BUSY = {429, 502, 503, 504}
_ERROR_BY_STATUS: dict[int, type[CommandError]] = {
    401: AuthError,
    403: AuthError,
    404: NotFoundError,
    **dict.fromkeys(_BUSY, UnreachableError),
}
_PREFIX = re.compile(r"[0-9a-f]{6,32}")
_CHUNK = 1 << 20


def parse(model: type[Model], raw: Json) -> Model:
    """Read what the server said; keys that a newer server adds are passed over. Raises CommandError."""
    try:
        return model.model_validate(raw, extra="ignore")
    except ValidationError as error:
        raise CommandError(
            f"the server's answer is no {model.__name__}: {error.errors()[0]['msg']}",
            hint="Client and server may be of different versions: compare `corepoint version`.",
        ) from error


class Client:
    """One connection pool. Every method raises CommandError with the exit code that fits."""

    def __init__(self, connection: Connection) -> None:
        # stamina's default hook logs to stdout through structlog, where only data may go.
        stamina.instrumentation.set_on_retry_hooks([])
        self._server = connection.server
        headers = {"User-Agent": "corepoint-cli", "Accept": "application/json, application/problem+json"}
        if connection.api_key:
            headers["Authorization"] = f"Bearer {connection.api_key}"
        self._http = httpx.Client(
            base_url=connection.server,
            headers=headers,
            timeout=httpx.Timeout(30.0, connect=5.0),
            # A proxy from the environment cannot reach this machine's loopback address.
            trust_env=not connection.is_local,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Json:
        return _json(self._send("GET", path, params=params))

    def text(self, path: str) -> str:
        return self._send("GET", path, headers={"Accept": "text/html"}).text

    def pages(self, path: str, limit: int, **params: Any) -> tuple[list[Json], bool]:
        """The first `limit` items of a list, and whether there are more."""
        items: list[Json] = []
        token: str | None = None
        while True:
            page = self.get(path, limit=min(PAGE, max(1, limit - len(items))), page_token=token, **params)
            items += page["items"]
            token = page.get("next_page_token")
            if token is None or len(items) >= limit:
                return items[:limit], token is not None or len(items) > limit

    def post(self, path: str, body: Json = None, **params: Any) -> Json:
        """Sent with a fresh Idempotency-Key, so that a repetition after a lost answer does nothing twice."""
        headers = {"Idempotency-Key": str(uuid4())}
        return _json(self._send("POST", path, params=params, json=body, headers=headers))

    def put(self, path: str, body: Json) -> Json:
        return _json(self._send("PUT", path, json=body))

    def delete(self, path: str) -> None:
        self._send("DELETE", path)

    def upload(self, file: Path) -> Json:
        """Streams the file. Not repeated: the body is large and a lost upload harms nothing."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
        with self._translated():
            response = self._http.post("/v1/uploads", content=_chunks(file), headers=headers)
        _raise_for_problem(response)
        return _json(response)

    def run_id(self, reference: str) -> str:
        """The run that `ID`, an id's first digits, `run/ID`, `experiment/NAME` or `NAME` (its latest run) means."""
        kind, _, rest = reference.rpartition("/")
        if kind in {"", "run", "runs"}:
            digits = rest.lower().replace("-", "")
            if len(digits) == 32 and _PREFIX.fullmatch(digits):
                return rest.lower()
            if _PREFIX.fullmatch(digits) and (found := self._run_by_prefix(digits)):
                return found
        if kind in {"", "experiment", "experiments"} and rest:
            return self._latest_run(rest, reference)
        raise NotFoundError(f"no run {reference!r}", "`corepoint get runs` lists them.")

    def _run_by_prefix(self, digits: str) -> str | None:
        items, _ = self.pages("/v1/runs", RUNS_SEARCHED)
        found = [run for run in (parse(RunView, item) for item in items) if run.id.hex.startswith(digits)]
        if len(found) > 1:
            names = ", ".join(f"{run.id} ({run.experiment})" for run in found[:5])
            raise CommandError(f"{len(found)} runs begin with {digits}: {names}", hint="Give more digits of the id.")
        return str(found[0].id) if found else None

    def _latest_run(self, name: str, reference: str) -> str:
        try:
            experiment = self.get(f"/v1/experiments/{segment(name)}")
        except NotFoundError as error:
            raise NotFoundError(
                f"no run and no experiment {reference!r}", "`corepoint get runs` lists the runs."
            ) from error
        if not experiment.get("latest_run_id"):
            raise NotFoundError(f"experiment {name!r} has no run yet", f"Start one: `corepoint run {name}`.")
        return str(experiment["latest_run_id"])

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        params = {key: value for key, value in request.pop("params", {}).items() if value is not None}
        with self._translated():
            for attempt in stamina.retry_context(on=_worth_repeating, attempts=4, timeout=20.0, wait_jitter=0.2):
                with attempt:
                    response = self._http.request(method, path, params=params, **request)
                    if _is_busy(response):
                        raise httpx.HTTPStatusError("busy", request=response.request, response=response)
        _raise_for_problem(response)
        return response

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPStatusError as error:
            _raise_for_problem(error.response)
        except httpx.TimeoutException as error:
            raise UnreachableError(f"{self._server} did not answer in time") from error
        except httpx.RequestError as error:
            raise UnreachableError(
                f"cannot reach {self._server}: {error}",
                hint="Start a server with `corepoint up`, or name one with --server or COREPOINT_SERVER.",
            ) from error


def segment(name: str) -> str:
    """A name as one segment of a path, whatever it holds."""
    return quote(name, safe="") or "-"


def _worth_repeating(error: Exception) -> bool:
    return isinstance(error, httpx.TransportError | httpx.HTTPStatusError)


def _is_busy(response: httpx.Response) -> bool:
    """Worth repeating: overloaded, or our own earlier request with the same Idempotency-Key is still being handled."""
    in_flight = response.status_code == 409 and ProblemCode.REQUEST_IN_FLIGHT.value in response.text
    return response.status_code in _BUSY or in_flight


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _json(response: httpx.Response) -> Json:
    try:
        return response.json()
    except ValueError as error:
        raise CommandError(
            f"{response.request.url} did not answer JSON", hint="Is --server the address of a corepoint API?"
        ) from error


def _raise_for_problem(response: httpx.Response) -> None:
    if response.is_success:
        return
    kind = _ERROR_BY_STATUS.get(response.status_code, CommandError)
    try:
        problem = Problem.model_validate(response.json(), extra="ignore")
    except ValueError:
        raise kind(
            f"{response.request.url} answered {response.status_code} {response.reason_phrase}",
            "Is --server the address of a corepoint API?",
            request_id=response.headers.get("X-Request-ID", ""),
        ) from None
    raise kind(
        f"{problem.title}: {problem.detail}" if problem.detail else problem.title,
        problem.hint,
        places=[(place.pointer, place.message) for place in problem.errors],
        request_id=problem.request_id,
        problem=problem.code,
    )

"""A small HTTP server that answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel

from app.contracts.problems import CATALOGUE, TYPE_BASE, Problem, ProblemCode, ProblemError


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    body: Any = None
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return json.dumps(_plain(self.body)).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def page(*items: Any, next_page_token: str | None = None) -> Answer:
    return Answer({"items": list(items), "next_page_token": next_page_token})


def problem(code: ProblemCode, detail: str = "", **errors: str) -> Answer:
    known = CATALOGUE[code]
    body = Problem(
        type=TYPE_BASE + code,
        title=known.title,
        status=known.status,
        code=code,
        detail=detail,
        hint=known.hint,
        request_id="req-42",
        errors=[ProblemError(pointer=pointer, message=message) for pointer, message in errors.items()],
    )
    return Answer(body, known.status, "application/problem+json")


@dataclass
class Stub:
    """`answers["GET /v1/runs"]` is used up from the front; its last answer stays."""

    url: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def on(self, request: str, *answers: Answer | Any) -> None:
        self.answers[request] = [a if isinstance(a, Answer) else Answer(a) for a in answers]

    def take(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        left = self.answers.get(f"{asked.method} {asked.path}")
        if not left:
            return problem(ProblemCode.NOT_FOUND, f"{asked.method} {asked.path}")
        return left.pop(0) if len(left) > 1 else left[0]

    def requests(self, method: str, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == method and asked.path == path]


@contextmanager
def serving() -> Iterator[Stub]:
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = stub.take(Asked(self.command, parts.path, query, dict(self.headers.items()), body))
            encoded = answer.encoded()
            self.send_response(answer.status)
            for name, value in {"Content-Type": answer.content_type, **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - names that http.server calls

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

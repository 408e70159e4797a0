"""GET /livez of a worker, for the kubelet. Prefect's own health server counts successful polls: a restart of Prefect
would have every worker restarted, and with it what they measure. Ours asks only whether this process still turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STALE_SECONDS = 180.0
"""Above two of Prefect's request timeouts: a poll that hangs is not yet a worker that does."""


class Liveness:
    """Alive as long as somebody said so lately. Starting counts: imports and the first synchronisation take a while."""

    def __init__(self, stale_seconds: float = STALE_SECONDS) -> None:
        self._stale_seconds = stale_seconds
        self._last = time.monotonic()

    def note(self) -> None:
        self._last = time.monotonic()

    def is_alive(self) -> bool:
        return time.monotonic() - self._last < self._stale_seconds


@contextmanager
def served(liveness: Liveness, port: int | None) -> Iterator[int | None]:
    """Answers 200 or 503 on all addresses while the context lasts; yields the port. Port 0 takes a free one."""
    if port is None:
        yield None
        return
    server = ThreadingHTTPServer(("", port), _handler(liveness))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="health", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(liveness: Liveness) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/livez":
                self._answer(HTTPStatus.NOT_FOUND, "only /livez is here")
            elif liveness.is_alive():
                self._answer(HTTPStatus.OK, "alive")
            else:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "the worker does not turn any more")

        def _answer(self, status: HTTPStatus, text: str) -> None:
            body = f"{text}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """A probe every few seconds is not worth a line."""

    return Handler

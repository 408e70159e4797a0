"""Rate, errors, duration of every operation, by its route template (never by path: ids would make a series each)."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # 0.2 s is the promise (design.md)
_UNMATCHED = "(none)"
_METHODS = frozenset({"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"})


class Measures:
    """One set per application, so that two in one process do not add up."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter("corepoint_http_requests_total", "Requests answered", labels, registry=self.registry)
        self.seconds = Histogram(
            "corepoint_http_request_seconds",
            "Seconds until the answer was sent",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.stale_writes = Counter(
            "corepoint_stale_writes_total",
            "What attempts that are over wanted to say of their batch, and was refused",
            ("route",),
            registry=self.registry,
        )
        self.in_flight = Gauge("corepoint_http_requests_in_flight", "Requests being handled", registry=self.registry)


def count_stale_write(scope: Scope) -> None:
    """A worker that had been given up came back; fencing kept it from the rows."""
    measures: Measures = scope["app"].state.measures
    measures.stale_writes.labels(_route(scope)).inc()


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", _UNMATCHED))


class MeasureRequests:
    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self.app = app
        self.measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500
        began = time.perf_counter()

        async def send_seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self.measures.in_flight.track_inprogress():
            try:
                await self.app(scope, receive, send_seen)
            finally:
                route = _route(scope)
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self.measures.requests.labels(method, route, str(status)).inc()
                self.measures.seconds.labels(method, route).observe(time.perf_counter() - began)

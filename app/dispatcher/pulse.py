"""Signs of life of a dispatcher: when its loops turned and what they repaired, on a port of its own."""

from __future__ import annotations

import time

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

STILL_SECONDS = 180.0
"""Above any turn of a loop whose every call is bounded. A loop that is still for longer hangs: start the pod again."""


class Pulse:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.repaired = Counter(
            "corepoint_dispatcher_repaired_total",
            "Entities that a reconciler brought back to their wanted state",
            ("reconciler",),
            registry=self.registry,
        )
        self.failed = Counter(
            "corepoint_dispatcher_failed_turns_total",
            "Turns of a reconciler that ended with an error; the next turn tries again",
            ("reconciler",),
            registry=self.registry,
        )
        self.postponed = Counter(
            "corepoint_dispatcher_postponed_total",
            "Work rows put off after an error",
            ("kind",),
            registry=self.registry,
        )
        self._turned = Gauge(
            "corepoint_dispatcher_turned_timestamp_seconds",
            "When a loop of this dispatcher last turned",
            ("loop",),
            registry=self.registry,
        )
        self._beats: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        self._beats[loop] = time.monotonic()
        self._turned.labels(loop).set_to_current_time()

    def still(self) -> list[str]:
        """Loops that have not turned for too long."""
        limit = time.monotonic() - STILL_SECONDS
        return [loop for loop, beat in self._beats.items() if beat < limit]


def pulse_app(pulse: Pulse) -> Starlette:
    """/livez and /metrics."""

    async def livez(_: Request) -> Response:
        still = pulse.still()
        return PlainTextResponse(f"still: {', '.join(still)}" if still else "ok", status_code=503 if still else 200)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(pulse.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", livez), Route("/metrics", metrics)])

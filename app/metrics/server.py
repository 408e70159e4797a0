"""The metrics component: a plain port for Prometheus and KEDA, and a TLS port for the API server's aggregator."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from app.db.engine import Database
from app.gateways.kubernetes import KubernetesGateway
from app.metrics.external import external_app
from app.metrics.latest import Latest
from app.metrics.plain import plain_app
from app.metrics.tls import Handshakes, PeerProtocol, TlsError
from app.metrics.trust import TrustError, TrustSource, trust_source
from app.metrics.workers_seen import WorkersSeen
from app.settings import Settings

log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Until cancelled. Raises TrustError, TlsError or OSError if it cannot start as the settings want it to."""
    metrics = settings.metrics
    async with AsyncExitStack() as stack:
        database = Database(settings.database)
        stack.push_async_callback(database.close)
        latest = Latest(database, settings.queues, metrics.age_seconds, metrics.read_seconds)
        workers = _workers(settings)
        # All that can be wrong with the settings shows before anything is served.
        trusted = await _trusted(settings) if metrics.certificate_file is not None else None
        plain_port = stack.enter_context(_bound(settings, metrics.port))
        external_port = stack.enter_context(_bound(settings, metrics.external_port)) if trusted else None
        async with asyncio.TaskGroup() as group:
            plain = plain_app(latest, settings.queues, lambda: workers.ready if workers else None)
            group.create_task(_listen(plain, settings, plain_port))
            if workers is not None:
                group.create_task(workers.run())
            if trusted is not None and external_port is not None:
                group.create_task(_renew(trusted, metrics.renew_seconds))
                group.create_task(_listen_external(latest, trusted, settings, external_port))


@dataclass(frozen=True)
class _Trusted:
    """Whom the external metrics API answers, now and after the next rotation, about which namespace."""

    namespace: str
    source: TrustSource
    handshakes: Handshakes


async def _trusted(settings: Settings) -> _Trusted:
    metrics, namespace = settings.metrics, settings.kubernetes.namespace
    if namespace is None or metrics.certificate_file is None or metrics.private_key_file is None:
        raise TlsError(
            "The external metrics API needs COREPOINT_METRICS__CERTIFICATE_FILE, COREPOINT_METRICS__PRIVATE_KEY_FILE "
            "and COREPOINT_KUBERNETES__NAMESPACE."
        )
    source = trust_source(metrics, settings.kubernetes.timeout_seconds)
    trust = await source.read()
    return _Trusted(namespace, source, Handshakes(metrics.certificate_file, metrics.private_key_file, trust))


async def _listen_external(latest: Latest, trusted: _Trusted, settings: Settings, listener: socket.socket) -> None:
    handshakes = trusted.handshakes
    app = external_app(latest, trusted.namespace, lambda: handshakes.trust)
    context = handshakes.context
    await _listen(app, settings, listener, http=PeerProtocol, ssl_context_factory=lambda _config, _default: context)


async def _renew(trusted: _Trusted, interval_seconds: float) -> None:
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            if trusted.handshakes.renew(await trusted.source.read()):
                log.info("certificates renewed")
        except (TrustError, TlsError) as error:  # half-written files and API servers that are away pass
            log.warning("certificates stay as they are", error=str(error))


def _workers(settings: Settings) -> WorkersSeen | None:
    kubernetes, metrics = settings.kubernetes, settings.metrics
    if kubernetes.namespace is None:
        return None
    return WorkersSeen(KubernetesGateway(kubernetes), metrics.workers_seconds, 2 * kubernetes.timeout_seconds)


class _Listener(uvicorn.Server):
    """Ends when it is told to; signals are the process's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bound(settings: Settings, port: int) -> socket.socket:
    """Raises OSError. Bound here, because uvicorn ends the whole process if it cannot."""
    host = settings.serving.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, dualstack_ipv6=host == "::")


async def _listen(app: ASGIApp, settings: Settings, listener: socket.socket, **options: Any) -> None:
    """Until cancelled, and until answers under way are given."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=max(1, int(settings.serving.drain_seconds)),
        **options,
    )
    server = _Listener(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving

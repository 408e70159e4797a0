"""The metrics component, served as a pod serves it, in this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from certificates import Authority, Pair, client_context

from app.metrics.server import serve
from app.settings import Settings

NAMESPACE = "corepoint"
PROXY = "front-proxy-client"
_START_SECONDS = 20.0


@dataclass
class Certificates:
    """Of the service (`serving`, signed by `ours`) and of the front proxy (`proxy`, signed by `theirs`)."""

    folder: Path
    ours: Authority
    theirs: Authority
    serving: Pair
    proxy: Pair

    @classmethod
    def make(cls, folder: Path) -> Certificates:
        ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
        return cls(folder, ours, theirs, ours.issue("corepoint-metrics", "serving"), theirs.issue(PROXY))

    def settings(self) -> dict[str, Any]:
        return {
            "certificate_file": self.serving.certificate,
            "private_key_file": self.serving.key,
            "client_ca_file": self.theirs.file,
            "client_names": {PROXY},
        }


@dataclass
class Served:
    plain: httpx.AsyncClient
    external_url: str
    certificates: Certificates | None

    @asynccontextmanager
    async def as_client(self, client: Pair | None, server: Authority | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """Over TLS with this certificate; a connection of its own."""
        assert self.certificates is not None
        context = client_context(server or self.certificates.ours, client)
        async with httpx.AsyncClient(base_url=self.external_url, verify=context, timeout=10) as made:
            yield made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def served(database_url: str, certificates: Certificates | None = None, **metrics: Any) -> AsyncIterator[Served]:
    """`serve` runs while the context lasts, with the external metrics API if there are certificates for it."""
    plain_port, external_port = free_port(), free_port()
    settings = Settings.model_validate(
        {
            "database": {"url": database_url, "connect_seconds": 1.0},
            "serving": {"host": "127.0.0.1", "drain_seconds": 1.0},
            "metrics": {
                "port": plain_port,
                "external_port": external_port,
                "age_seconds": 0.05,
                **(certificates.settings() if certificates else {}),
                **metrics,
            },
        }
    )
    if certificates:
        # Without a ServiceAccount nobody counts pods: the namespace is that of the metrics alone.
        settings = settings.model_copy(
            update={"kubernetes": settings.kubernetes.model_copy(update={"namespace": NAMESPACE})}
        )
    serving = asyncio.create_task(serve(settings))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{plain_port}", timeout=10) as plain:
            await _answers(plain, serving)
            yield Served(plain, f"https://127.0.0.1:{external_port}", certificates)
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def _answers(plain: httpx.AsyncClient, serving: asyncio.Task[None]) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            if serving.done():
                serving.result()
            with suppress(httpx.TransportError):
                await plain.get("/livez")
                return
            await asyncio.sleep(0.05)

"""TLS with a required client certificate, renewed while serving: certificates rotate under a running process."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from app.metrics.trust import Trust


class TlsError(RuntimeError):
    """The certificate, its key or the authorities cannot be used."""


class Handshakes:
    """What each new connection is held to. `context` is for the listener; it hands every handshake the newest one."""

    def __init__(self, certificate: Path, private_key: Path, trust: Trust) -> None:
        self._files = (certificate, private_key)
        self.trust = trust
        self._made_of = self._material(trust)
        self._newest = self._make(trust)
        self.context = self._make(trust)
        self.context.sni_callback = self._begin

    def renew(self, trust: Trust) -> bool:
        """Whether files or trust have changed. Raises TlsError and keeps what was, if the new is of no use."""
        material = self._material(trust)
        if material == self._made_of:
            return False
        self._newest = self._make(trust)
        self._made_of = material
        self.trust = trust
        return True

    def _begin(self, handshake: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        # OpenSSL calls this for every handshake, with or without a name.
        handshake.context = self._newest

    def _material(self, trust: Trust) -> tuple[bytes, bytes, Trust]:
        try:
            certificate, private_key = (file.read_bytes() for file in self._files)
        except OSError as error:
            raise TlsError(f"The serving certificate cannot be read: {error}") from error
        return certificate, private_key, trust

    def _make(self, trust: Trust) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # our one client is an API server
        context.num_tickets = 0  # a session taken up again would skip the check of the certificate
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(*self._files)
            context.load_verify_locations(cadata=trust.authorities)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise TlsError(f"The serving certificate or the front proxy's authority is of no use: {error}") from error
        return context


class PeerProtocol(H11Protocol):
    """Puts the client's certificate into the state of each request; uvicorn does not (ASGI's TLS extension)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer_certificate": transport.get_extra_info("peercert")}


def common_names(certificate: Mapping[str, Any]) -> frozenset[str]:
    """Of the subject of a certificate as `SSLSocket.getpeercert` gives it."""
    return frozenset(value for part in certificate.get("subject", ()) for name, value in part if name == "commonName")

"""Who may call us through the aggregator: what the API server publishes about its front proxy.

It lies in ConfigMap kube-system/extension-apiserver-authentication, which the Role
extension-apiserver-authentication-reader lets a ServiceAccount read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.settings import MetricsSettings

CONFIG_MAP = ("kube-system", "extension-apiserver-authentication")
_AUTHORITY = "requestheader-client-ca-file"
_NAMES = "requestheader-allowed-names"


class TrustError(RuntimeError):
    """It is not known whom to trust."""


@dataclass(frozen=True)
class Trust:
    """Certificates signed by one of `authorities` (PEM) whose common name is in `names`; any name if there are none."""

    authorities: str
    names: frozenset[str]

    def admits(self, common_names: Collection[str]) -> bool:
        return not self.names or not self.names.isdisjoint(common_names)


class TrustSource(Protocol):
    async def read(self) -> Trust:
        """Raises TrustError."""
        ...


class PublishedTrust:
    """As the API server publishes it, asked through the `kubernetes` client."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit = limit_seconds

    async def read(self) -> Trust:
        try:
            return parse_trust(await asyncio.to_thread(self._config_map))
        except TrustError:
            raise
        except Exception as error:  # no credentials, no access, no answer: the client has an error of its own for each
            namespace, name = CONFIG_MAP
            raise TrustError(
                f"ConfigMap {namespace}/{name} cannot be read ({_cause(error)}). Bind the Role {name}-reader in "
                f"{namespace} to this pod's ServiceAccount, or set COREPOINT_METRICS__CLIENT_CA_FILE."
            ) from error

    def _config_map(self) -> Mapping[str, str]:
        # Imported here: its hundreds of modules cost a second, and the other sources of scaling need none of them.
        from kubernetes import client, config

        config.load_incluster_config()  # type: ignore[no-untyped-call]
        namespace, name = CONFIG_MAP
        found = client.CoreV1Api().read_namespaced_config_map(name, namespace, _request_timeout=self._limit)
        return found.data or {}


class FileTrust:
    """From the settings, where no ConfigMap is published."""

    def __init__(self, settings: MetricsSettings) -> None:
        self._settings = settings

    async def read(self) -> Trust:
        path = self._settings.client_ca_file
        assert path is not None  # noqa: S101 - else the ConfigMap is asked
        try:
            return Trust(path.read_text(encoding="ascii"), self._settings.client_names)
        except (OSError, UnicodeDecodeError) as error:
            raise TrustError(f"COREPOINT_METRICS__CLIENT_CA_FILE cannot be read: {error}") from error


def trust_source(settings: MetricsSettings, limit_seconds: float) -> TrustSource:
    return PublishedTrust(limit_seconds) if settings.client_ca_file is None else FileTrust(settings)


def parse_trust(data: Mapping[str, str]) -> Trust:
    """Of the ConfigMap's data. Raises TrustError."""
    authorities = data.get(_AUTHORITY, "")
    if not authorities.strip():
        raise TrustError(f"The API server publishes no {_AUTHORITY}: its aggregation layer is not configured.")
    try:
        names = json.loads(data.get(_NAMES, "[]"))
    except ValueError as error:
        raise TrustError(f"{_NAMES} is no JSON.") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TrustError(f"{_NAMES} is no list of names.")
    return Trust(authorities, frozenset(names))


def _cause(error: Exception) -> str:
    """The client's errors tell the whole answer with all its headers; the reason is enough."""
    return f"{getattr(error, 'status', type(error).__name__)} {getattr(error, 'reason', None) or error}"

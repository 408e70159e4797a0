"""What each part of a place is told, as the chart tells its pods."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.contracts.store import StoreConfig
from tests.part import inherited

# Shorter than in production, so that a test sees within seconds what is lost, stuck or due again.
TIMES = {
    "COREPOINT_LEASES__HEARTBEAT_SECONDS": "0.5",
    "COREPOINT_LEASES__LEASE_SECONDS": "10",  # an API that is started again on a busy machine is away for 5 s
    "COREPOINT_LEASES__PENDING_SECONDS": "10",
    "COREPOINT_DISPATCHER__RECONCILE_SECONDS": "1",
    "COREPOINT_DISPATCHER__LEASE_SECONDS": "12",
    "COREPOINT_DISPATCHER__BACKOFF_LIMIT_SECONDS": "5",
    "COREPOINT_PREFECT__TIMEOUT_SECONDS": "8",
    "COREPOINT_MLFLOW__TIMEOUT_SECONDS": "8",
    "COREPOINT_MLFLOW__AWAY_SECONDS": "2",
}
QUIET = {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def _key() -> str:
    return f"cp_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


@dataclass(frozen=True)
class Environments:
    """`port` answers where a part finds a service; `settings` are further variables of all parts."""

    folder: Path
    store: StoreConfig
    port: Callable[[str, str], int]
    settings: Mapping[str, str]
    admin_key: str = field(default_factory=_key)
    worker_key: str = field(default_factory=_key)
    key_secret: str = field(default_factory=lambda: secrets.token_hex(16))
    prefect_auth: str = field(default_factory=lambda: f"corepoint:{secrets.token_hex(16)}")

    def of_control_plane(self, name: str) -> dict[str, str]:
        return {
            **self._of_all(name),
            "COREPOINT_DATABASE__URL": f"postgresql+asyncpg://test@127.0.0.1:{self.port(name, 'postgres')}/corepoint",
            "COREPOINT_API__KEY_SECRET": self.key_secret,
            "COREPOINT_PREFECT__API_URL": f"{self._url(name, 'prefect')}/api",
            "COREPOINT_PREFECT__AUTH_STRING": self.prefect_auth,
            "COREPOINT_MLFLOW__TRACKING_URI": self._url(name, "mlflow"),
            "COREPOINT_SERVING__HOST": "127.0.0.1",
        }

    def of_migration(self) -> dict[str, str]:
        keys = {"ADMIN_KEY": self.admin_key, "WORKER_KEY": self.worker_key}
        bootstrap = {f"COREPOINT_BOOTSTRAP__{name}": key for name, key in keys.items()}
        return {**self.of_control_plane("migrate"), **bootstrap}

    def of_worker(self, name: str) -> dict[str, str]:
        """No way to the database, and no secret but its key."""
        return {
            **self._of_all(name),
            "COREPOINT_INTERNAL_URL": self._url(name, "internal"),
            "COREPOINT_API_KEY": self.worker_key,
            "COREPOINT_WORKER_NAME": name,
            "COREPOINT_CACHE": os.fspath(self.folder / name / "cache"),
            "PREFECT_API_URL": f"{self._url(name, 'prefect')}/api",
            "PREFECT_API_AUTH_STRING": self.prefect_auth,
            "PREFECT_HOME": os.fspath(self.folder / name / "prefect"),
            "PREFECT_CLI_COLORS": "false",
        }

    def _of_all(self, name: str) -> dict[str, str]:
        assert self.store.access_key is not None
        assert self.store.secret_key is not None
        return {
            **inherited(),
            **QUIET,
            **TIMES,
            **self.settings,
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            "COREPOINT_OBJECTS__KIND": "s3",
            "COREPOINT_OBJECTS__ENDPOINT": self._url(name, "minio"),
            "COREPOINT_OBJECTS__ACCESS_KEY": self.store.access_key,
            "COREPOINT_OBJECTS__SECRET_KEY": self.store.secret_key.get_secret_value(),
            "COREPOINT_SCRATCH": os.fspath(self.folder / name / "scratch"),
        }

    def _url(self, name: str, service: str) -> str:
        return f"http://127.0.0.1:{self.port(name, service)}"

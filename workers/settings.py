"""Settings of a worker, read from the environment that its Deployment (or `corepoint up`) gives it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class StoreSettings(BaseModel):
    """The same names as the control plane's, so that one ConfigMap serves both."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["folder", "s3"] = "folder"
    root: Path = Path("objects")
    endpoint: str | None = None
    access_key: str | None = None
    secret_key: SecretStr | None = None
    bucket: str = "corepoint"
    allowed_buckets: frozenset[str] = frozenset()


class WorkerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="COREPOINT_", env_nested_delimiter="__", extra="ignore", frozen=True)

    internal_url: str = "http://127.0.0.1:8788"
    api_key: SecretStr | None = None
    worker_name: str = "worker"
    objects: StoreSettings = StoreSettings()
    scratch: Path = Path(tempfile.gettempdir()) / "corepoint"  # a sized emptyDir in a pod
    cache: Path = Path(tempfile.gettempdir()) / "corepoint-cache"  # prepared datasets, shared by the batches of a pod
    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    report_seconds: float = 600.0  # how long a finished batch keeps trying to report; its results lie in the store
    path_roots: tuple[Path, ...] = ()  # folders that datasets may be read from, as on the API

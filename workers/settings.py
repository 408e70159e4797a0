"""Settings of a worker, read from the environment that its Deployment (or `corepoint up`) gives it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.contracts.store import StoreConfig


class DatasetFolders(BaseModel):
    """The control plane's section of the same name, as far as workers need it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    path_roots: tuple[Path, ...] = ()  # folders that datasets may be read from, as on the API


class WorkerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="COREPOINT_", env_nested_delimiter="__", extra="ignore", frozen=True)

    internal_url: str = "http://127.0.0.1:8788"
    api_key: SecretStr | None = None
    worker_name: str = "worker"
    objects: StoreConfig = StoreConfig()  # the same names as the control plane's: one ConfigMap serves both
    scratch: Path = Path(tempfile.gettempdir()) / "corepoint"  # a sized emptyDir in a pod
    cache: Path = Path(tempfile.gettempdir()) / "corepoint-cache"  # prepared datasets, shared by the batches of a pod
    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    report_seconds: float = 600.0  # how long a finished batch keeps trying to report; its results lie in the store
    datasets: DatasetFolders = DatasetFolders()

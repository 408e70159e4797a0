"""Settings of a worker, read from the environment that its Deployment (or `corepoint up`) gives it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.contracts.store import StoreConfig

GIB = 2**30


class DatasetFolders(BaseModel):
    """The control plane's section of the same name, as far as workers need it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    path_roots: tuple[Path, ...] = ()  # folders that datasets may be read from, as on the API


class SparkSettings(BaseModel):
    """How batches of the queue `spark` reach Spark. `local`: in a session on the worker itself, as `corepoint up` does;
    `operator`: as one SparkApplication per attempt, and then the fields that follow say what it looks like."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    submitter: Literal["local", "operator"] = "local"
    image: str = ""  # has PySpark, the s3a jars and this package
    main_file: str = "/opt/corepoint/workers/spark/driver.py"  # in the image
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    namespace: str = ""  # the operator must watch it
    instance: str = "corepoint"  # the release; the control plane finds its applications by it
    labels: dict[str, str] = {}  # further ones, for a queueing system or a bill, on application and pods
    service_account: str = "corepoint-spark-driver"
    executor_service_account: str = "default"  # executors never speak to Kubernetes and get no token
    objects_secret: str | None = None  # None: the store's credentials come with the pods' identity
    access_key_name: str = "minio-access-key"
    secret_key_name: str = "minio-secret-key"  # noqa: S105 - a name
    driver_cores: int = Field(default=1, ge=1)
    driver_memory_bytes: int = Field(default=3 * GIB // 2, ge=GIB)  # of the container; grows with the points
    driver_memory_max_bytes: int = Field(default=8 * GIB, ge=GIB)
    executor_cores: int = Field(default=1, ge=1)
    executor_memory_bytes: int = Field(default=3 * GIB // 2, ge=GIB)  # of the container, at least
    executor_memory_max_bytes: int = Field(default=8 * GIB, ge=GIB)
    executors: int = Field(default=2, ge=1)  # at least
    executors_max: int = Field(default=8, ge=1)
    core_limits: bool = (
        True  # cores of their own; else a tenth is requested, idle ones are used, and timings compare less
    )
    dynamic_allocation: bool = False  # executors that come and go falsify timings
    local_bytes: int = 10 * GIB  # of each pod's disk, for shuffles and /tmp; beyond it the pod is evicted
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    poll_seconds: float = 2.0
    pickup_seconds: float = 120.0  # without a sign of life from an operator: a busy one submits for a minute
    start_seconds: float = 300.0  # for the driver's pod to start, and again for its executors to register
    grace_seconds: int = 30  # from a driver's SIGTERM to SIGKILL
    ttl_seconds: int = 3_600  # how long an ended application keeps its pods' logs

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.executors > self.executors_max or self.executor_memory_bytes > self.executor_memory_max_bytes:
            raise ValueError("a maximum of the executors is below its minimum")
        if self.driver_memory_bytes > self.driver_memory_max_bytes:
            raise ValueError("the maximum of the driver's memory is below its minimum")
        if self.submitter == "operator" and not (self.image and self.namespace):
            raise ValueError("an operator needs image and namespace")
        return self


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
    # How long one object may take, an outage of the store included: a restored node or a failover passes. Heartbeats go
    # on meanwhile, and nothing that was measured is lost before.
    store_seconds: float = 600.0
    report_seconds: float = 600.0  # how long a finished batch keeps trying to report; its results lie in the store
    datasets: DatasetFolders = DatasetFolders()
    spark: SparkSettings = SparkSettings()
    grace_seconds: float | None = None  # from SIGTERM to SIGKILL, as the pod's terminationGracePeriodSeconds
    drain_file: Path | None = None  # set by the worker for its flow runs: once it exists, they are to give back
    nursery_descriptor: int | None = None  # set for flow runs that start warm: the nursery that was forked for them

"""Every setting of the control plane, with the reason for its default. `COREPOINT_DATABASE__URL` sets `url`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.contracts.states import QueueName
from app.contracts.store import StoreConfig

GIB = 1 << 30


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(_Section):
    url: SecretStr = SecretStr("sqlite+aiosqlite:///corepoint.db")
    pool_size: int = 5  # one API process serves few statements at once
    max_overflow: int = 10
    connect_seconds: float = 5.0
    statement_seconds: float = 15.0  # above any query we make, below a client's patience
    busy_seconds: float = 15.0  # SQLite: how long a writer waits for the one before


class PrefectSettings(_Section):
    api_url: str = "http://127.0.0.1:4200/api"
    auth_string: SecretStr | None = None
    pool: str = "corepoint"
    timeout_seconds: float = 10.0
    passthrough_seconds: float = 2.0  # reads on behalf of a client: better "not available now" than slow


class MlflowSettings(_Section):
    tracking_uri: str | None = None
    timeout_seconds: float = 20.0


class QueueSettings(_Section):
    """What one sample on this queue may use: a worker's memory less its own needs, and its CPU quota."""

    memory_bytes: int = Field(gt=0)
    threads: int = Field(ge=1)


class LeaseSettings(_Section):
    heartbeat_seconds: float = 3.0  # carries cancel, so it bounds how late a cancel is heard
    lease_seconds: float = 90.0  # 30 missed heartbeats: a node's reboot passes, a lost worker is noticed
    attempts: int = 5  # a batch that loses its worker five times is itself the likely cause
    pending_seconds: float = (
        60.0  # Prefect leaves a flow run PENDING for ever when its worker vanishes before starting it
    )


class DispatcherSettings(_Section):
    poll_seconds: float = 1.0  # a missed wake-up costs at most this
    reconcile_seconds: float = 15.0
    lease_seconds: float = 30.0  # above the timeout of every gateway call a row needs
    page: int = 50
    backoff_seconds: float = 1.0
    backoff_limit_seconds: float = 60.0


class ApiSettings(_Section):
    body_bytes: int = 2 << 20  # an experiment of 5,000 trials is far below
    nesting: int = 64  # deeper JSON is no specification
    upload_bytes: int = 2 * GIB
    page: int = 20
    page_limit: int = 100
    authentication: bool = True
    key_secret: SecretStr | None = None  # keys are stored as HMAC under it; needed with authentication


class DatasetSettings(_Section):
    path_roots: tuple[Path, ...] = ()  # no file of the server is readable unless an operator lists its folder
    attempts: int = 3


class NotificationSettings(_Section):
    allowed_hosts: frozenset[str] = frozenset()  # a webhook to anywhere would be a way into the cluster's network
    secret: SecretStr | None = None  # signs what is sent, so that the receiver knows it is from us
    timeout_seconds: float = 5.0
    attempts: int = 3  # then it is an event of the run, and nobody waits for it


class KubernetesSettings(_Section):
    """Without a namespace nothing is asked of Kubernetes (embedded mode)."""

    namespace: str | None = None
    instance: str = "corepoint"  # the release: two of them may share a namespace
    timeout_seconds: float = 10.0


class BootstrapSettings(_Section):
    """API keys that `migrate` writes into an empty installation: somebody has to be the first."""

    admin_key: SecretStr | None = None
    worker_key: SecretStr | None = None


class ServingSettings(_Section):
    """Where the processes of the control plane listen. `corepoint up` has flags of its own."""

    host: str = "0.0.0.0"  # noqa: S104 - a pod has one address, and policies say who may reach it
    public_port: int = 8787
    internal_port: int = 8788
    dispatcher_port: int = 8789
    drain_seconds: float = 10.0  # how long answers under way may take when a pod is asked to stop


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="COREPOINT_", env_nested_delimiter="__", extra="forbid", frozen=True)

    database: DatabaseSettings = DatabaseSettings()
    objects: StoreConfig = StoreConfig()
    prefect: PrefectSettings = PrefectSettings()
    mlflow: MlflowSettings = MlflowSettings()
    leases: LeaseSettings = LeaseSettings()
    dispatcher: DispatcherSettings = DispatcherSettings()
    api: ApiSettings = ApiSettings()
    datasets: DatasetSettings = DatasetSettings()
    notifications: NotificationSettings = NotificationSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    bootstrap: BootstrapSettings = BootstrapSettings()
    serving: ServingSettings = ServingSettings()
    queues: dict[QueueName, QueueSettings] = {
        QueueName.DEFAULT: QueueSettings(memory_bytes=6 * GIB, threads=2),
        QueueName.HIGH_MEMORY: QueueSettings(memory_bytes=32 * GIB, threads=4),
        QueueName.SPARK: QueueSettings(memory_bytes=8 * GIB, threads=2),
        QueueName.PRIORITY: QueueSettings(memory_bytes=6 * GIB, threads=2),
    }
    pod_isolation: bool = False  # needs Kubernetes

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
    auth_string: SecretStr | None = None  # user:password, of a server of your own
    api_key: SecretStr | None = None  # of a hosted Prefect
    pool: str = "corepoint"
    pods_pool: str = "corepoint-pods"  # of type kubernetes, for `isolation: pod`
    pod_template: Path | None = None  # its base job template, JSON; needed with pod_isolation, by the dispatcher alone
    timeout_seconds: float = 10.0
    passthrough_seconds: float = 2.0  # reads on behalf of a client: better "not available now" than slow


class MlflowSettings(_Section):
    tracking_uri: str | None = None
    timeout_seconds: float = 20.0


class QueueSettings(_Section):
    """What one sample on this queue may use: a worker's memory less its own needs, and its CPU quota."""

    memory_bytes: int = Field(gt=0)
    threads: int = Field(ge=1)
    worker_limit: int = Field(default=1, ge=1)  # batches that a worker runs at once: two disturb each other's timings


class PodSettings(_Section):
    """Pods of isolated trials. Needed with pod_isolation alone."""

    # Beside the sample: flow process and fork server (200 MiB were measured), and what a fit can take between two
    # looks of the watchdog (160 MiB). Less, and the kernel would end the pod before we can say why.
    reserve_bytes: int = Field(default=GIB // 2, gt=0)
    concurrency: int = Field(default=10, ge=1)  # Jobs at once: a sweep of thousands must not fill the scheduler


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


class MetricsSettings(_Section):
    """Queue metrics, and the external metrics API that autoscalers follow: served where it has a certificate."""

    port: int = 9090
    external_port: int = 9443
    certificate_file: Path | None = None  # for <service>.<namespace>.svc, which is what the API server asks for
    private_key_file: Path | None = None
    client_ca_file: Path | None = None  # none: as the API server publishes it, see docs/how-to/scaling.md
    client_names: frozenset[str] = frozenset()  # common names under client_ca_file that are admitted; empty: all
    renew_seconds: float = 60.0  # how late a rotated certificate is noticed; old and new overlap for longer
    age_seconds: float = Field(default=1.0, le=1.0)  # one reading for all who ask within it
    read_seconds: float = 3.0  # below the patience of a scrape (10 s by default)
    workers_seconds: float = 5.0  # how often worker pods are counted


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
    metrics: MetricsSettings = MetricsSettings()
    queues: dict[QueueName, QueueSettings] = {
        QueueName.DEFAULT: QueueSettings(memory_bytes=6 * GIB, threads=2),
        QueueName.HIGH_MEMORY: QueueSettings(memory_bytes=32 * GIB, threads=4),
        QueueName.SPARK: QueueSettings(memory_bytes=8 * GIB, threads=2),
        QueueName.PRIORITY: QueueSettings(memory_bytes=6 * GIB, threads=2),
    }
    pods: PodSettings = PodSettings()
    pod_isolation: bool = False  # needs Kubernetes

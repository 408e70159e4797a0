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
    checkout_seconds: float = 2.0  # for a connection that answers: a client that hears 503 soon can try again soon
    connect_seconds: float = 5.0
    statement_seconds: float = 15.0  # above any query we make, below a client's patience
    idle_seconds: float = 20.0  # then PostgreSQL ends a transaction whose owner hangs or is cut off, and frees its rows
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
    timeout_seconds: float = 20.0  # below the lease of a row of work
    away_seconds: float = 20.0  # not asked for so long after it did not answer; all is mirrored 40 s after it is back


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
    start_seconds: float = 600.0  # a node may have to be made and a large image pulled; then nothing will change
    keep_seconds: float = 300.0  # of a Job that has ended, for its pod's log, should the template say more


class LeaseSettings(_Section):
    heartbeat_seconds: float = 3.0  # carries cancel, so it bounds how late a cancel is heard
    lease_seconds: float = 80.0  # 27 missed heartbeats; with a turn of the reconciler, lost is noticed within 90 s
    attempts: int = 5  # a batch that loses its worker five times is itself the likely cause
    pending_seconds: float = (
        60.0  # Prefect leaves a flow run PENDING for ever when its worker vanishes before starting it
    )


class DispatcherSettings(_Section):
    poll_seconds: float = 1.0  # a missed wake-up costs at most this
    reconcile_seconds: float = 15.0  # rest of a group of reconcilers that has no reason for another
    turn_seconds: float = 40.0  # a reconciler's turn: some bounded calls; what it does not get to, the next turn does
    lease_seconds: float = 30.0  # above the timeout of every gateway call a row needs
    page: int = 50
    backoff_seconds: float = 1.0
    backoff_limit_seconds: float = 60.0


class ScheduleSettings(_Section):
    late_seconds: float = 300.0  # a restart of any part passes within it, and delays what was planned; later is missed
    # Prefect plans a schedule within 5 s of its change and a due flow run is adopted within 2 s: a time that nobody
    # came for by then is not going to be started by Prefect.
    grace_seconds: float = 15.0
    missed_limit: int = Field(default=1_000, ge=1)  # of one experiment; those before are neither run nor counted
    page: int = Field(default=100, ge=1)  # flow runs, experiments, or missed times of one experiment, in one step
    adopt_seconds: float = 1.0  # rest between two looks for due flow runs: a share of how late a run may be


class RetentionSettings(_Section):
    """What is deleted as it grows old, by the dispatcher. Days count from the end; 0 is for ever. See retention.md."""

    enabled: bool = True  # else only what somebody deletes goes
    turn_seconds: float = Field(default=3600.0, gt=0)  # ages are days
    page: int = Field(default=200, ge=1)  # at a time; a turn ends after half a minute, the next goes on
    runs_days: int = Field(default=365, ge=0)
    runs_per_experiment: int = Field(default=1000, ge=0)  # six weeks of an hourly schedule
    artifacts_days: int = Field(default=90, ge=0)  # labels are nearly all of the bytes, and are seldom read again
    previews_days: int = Field(default=7, ge=0)  # nothing is concluded from them
    events_days: int = Field(default=180, ge=0)  # of runs that have ended
    requests_days: int = Field(default=7, ge=0)  # answers kept for an Idempotency-Key: no client repeats for longer
    flow_runs_days: int = Field(default=14, ge=0)  # ended ones in Prefect, with their logs
    applications_days: int = Field(default=7, ge=0)  # SparkApplications that the operator's time to live left behind
    uploads_days: int = Field(default=7, ge=0)  # that no dataset is made of
    # Objects of what was deleted go this much later: a worker that was cut off may still write until then.
    objects_days: int = Field(default=1, ge=1)


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
    schedules: ScheduleSettings = ScheduleSettings()
    retention: RetentionSettings = RetentionSettings()
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

"""What is measured: samples in rounds, with phases, memory and evidence. Saved as JSON, one object per round."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from app.contracts.base import Bytes, Message, Moment, Seconds, Sha256
from app.contracts.failures import Failure

MEMORY_ROUND = 0
"""Round 0 is the memory pass: one untimed fit per trial that yields peak memory, labels and quality."""


class Phases(Message):
    """Wall-clock seconds of one sample, by phase. Only `fit` is ever ranked. None: the phase did not happen."""

    start: Seconds | None = None
    load: Seconds | None = None
    warm_up: Seconds | None = None
    fit: Seconds | None = None
    score: Seconds | None = None
    upload: Seconds | None = None


class MemoryFigure(Message):
    """Peak of a sample's processes and its method; `extra` is the peak above the level after the data was loaded."""

    peak_bytes: Bytes
    baseline_bytes: Bytes
    method: Literal[
        "vmhwm", "tree-rss-sampled", "cgroup-peak-v2", "cgroup-peak-v1", "spark-executor-peaks", "unsupported"
    ]

    @property
    def is_of_the_pod(self) -> bool:
        """A control group counts what measures too; an estimate is of the sample alone."""
        return self.method in {"cgroup-peak-v2", "cgroup-peak-v1"}

    @property
    def extra_bytes(self) -> int:
        return max(0, self.peak_bytes - self.baseline_bytes)


class Evidence(Message):
    """How quiet the machine was during one fit. None: this kernel or cgroup does not tell."""

    voluntary_switches: int | None = None
    involuntary_switches: int | None = None
    throttled_periods: int | None = None
    cpu_pressure_share: float | None = Field(default=None, description="share of the fit some task waited for CPU")
    memory_pressure_share: float | None = None
    load_average: float | None = None
    executors_lost: int | None = Field(default=None, description="that ended during the fit, on Spark; else None")


class Artifact(Message):
    key: str
    sha256: Sha256
    size_bytes: Bytes


class Sample(Message):
    """One repetition of a trial. A failed sample keeps the phases it reached and says why it failed."""

    trial_id: UUID
    round: int = Field(ge=0)
    order: int = Field(ge=0, description="place within its round")
    attempt: int = Field(ge=1)
    started_at: Moment
    phases: Phases
    fit_cpu_seconds: Seconds | None = None
    memory: MemoryFigure | None = None
    evidence: Evidence = Evidence()
    labels_sha256: Sha256 | None = Field(default=None, description="of the canonical labels, int64 little endian")
    failure: Failure | None = None
    repeated: int = Field(default=0, ge=0, description="earlier tries that something from outside ended")


class Fingerprint(Message):
    """Order-independent identity of a clustering: equal for every exact implementation (docs/methodology)."""

    core_sha256: Sha256 = Field(description="of the core flags")
    partition_sha256: Sha256 = Field(description="of the core points' canonical cluster numbers")
    noise_sha256: Sha256 = Field(description="of the noise flags")
    labels_sha256: Sha256 = Field(description="of all canonical labels")
    inadmissible_borders: int | None = Field(
        ge=0, description="border points without a core point of their own cluster within eps; None: not checked"
    )


class Agreement(Message):
    """Adjusted Rand index and adjusted mutual information, in three declared ways to treat noise."""

    noise_as_cluster_ari: float | None
    noise_as_cluster_ami: float | None
    noise_as_singletons_ari: float | None
    noise_as_singletons_ami: float | None
    clustered_only_ari: float | None
    clustered_only_ami: float | None
    coverage: float = Field(ge=0, le=1, description="share of points that are clustered on both sides")


class Quality(Message):
    """Plain figures of one clustering. A figure that cannot be had is None and `reasons` says why, by its name."""

    clusters: int = Field(ge=0)
    core_points: int = Field(ge=0)
    noise_share: float = Field(ge=0, le=1)
    silhouette: float | None = None
    silhouette_points: int = Field(default=0, description="clustered points sampled for the silhouette")
    truth: Agreement | None = Field(default=None, description="against the dataset's true clusters")
    reasons: dict[str, str] = {}


class Scored(Message):
    """What round 0 learns of a trial beyond its time."""

    trial_id: UUID
    fingerprint: Fingerprint
    quality: Quality
    labels: Artifact
    details: dict[str, Any] = Field(default_factory=dict, description="what the adapter tells of its own work")


class Round(Message):
    """One pass over the trials of a batch, in shuffled order. Written once, with If-None-Match."""

    run_id: UUID
    batch_id: UUID
    number: int = Field(ge=0)
    attempt: int = Field(ge=1)
    samples: list[Sample]
    scored: list[Scored] = []


class Environment(Message):
    """Where a batch was measured. What it shares with another environment decides whether times compare."""

    cpu_model: str
    cpu_quota: float = Field(gt=0, description="CPUs this worker may use")
    memory_limit_bytes: Bytes
    image: str = Field(description="image digest, or the distribution's version outside a container")
    hostname: str
    kernel: str
    python: str
    libraries: dict[str, str] = {}
    java: str | None = None

    @property
    def threads(self) -> int:
        return max(1, int(self.cpu_quota))


class TrialManifest(Message):
    """The commit point of a trial: written last, once, at a key without an attempt. The row is derived from it."""

    format: Literal["corepoint.manifest/v1"] = "corepoint.manifest/v1"
    trial_id: UUID
    run_id: UUID
    batch_id: UUID
    attempt: int
    algorithm: str
    algorithm_version: str
    parameters: dict[str, Any]
    dataset_sha256: Sha256
    sample_size: int
    seed: int
    environment: Environment
    samples: list[Sample]
    memory: MemoryFigure
    fingerprint: Fingerprint
    quality: Quality
    labels: Artifact
    details: dict[str, Any] = {}
    finished_at: Moment


class Outcome(Message):
    """How one trial of a batch ended."""

    trial_id: UUID
    manifest_key: str | None = None
    manifest: TrialManifest | None = None
    failure: Failure | None = None
    samples: list[Sample] = Field(default_factory=list, description="of a failed trial; else in the manifest")


class BatchReport(Message):
    """The end of an attempt: stored as outcome.json under the attempt, then posted to the API."""

    batch_id: UUID
    attempt: int
    outcomes: list[Outcome]
    environment: Environment

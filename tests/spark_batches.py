"""A small batch for Spark, as a worker of that queue would have claimed it, with its data in the object store."""

from __future__ import annotations

import hashlib
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN
from sklearn.datasets import make_blobs

from app.contracts.assignment import BatchAssignment, TrialAssignment
from app.contracts.dataset import DistanceSketch, PreparedDataset, Profile
from app.contracts.experiment import Limits, Protocol
from app.contracts.objects import ObjectStore
from app.contracts.states import QueueName
from workers.algorithms.registry import get
from workers.evaluate.canonical import canonical_labels, labels_sha256

EPS, MIN_SAMPLES = 0.08, 6


def points(n: int) -> NDArray[np.float64]:
    made, _ = make_blobs(n, centers=12, cluster_std=0.25, center_box=(-4, 4), random_state=4)
    return np.ascontiguousarray(made, dtype=np.float64)


def stored_dataset(store: ObjectStore, values: NDArray[np.float64], folder: Path) -> PreparedDataset:
    """As `workers.datasets` would have prepared it."""
    n, d = values.shape
    file = folder / f"points-{n}.npy"
    np.save(file, values)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    key = f"datasets/{sha256}/points.npy"
    store.upload(key, file)
    profile = Profile(
        n=n, d=d, rows_read=n, rows_missing=0, rows_infinite=0, rows_outside_box=0, rows_dropped=0, duplicates=0,
        columns=[], sketch=DistanceSketch(n=n, radii=[0.1, 0.2], mean_neighbours=[2.0, 8.0]),
    )  # fmt: skip
    return PreparedDataset(sha256=sha256, n=n, d=d, points_key=key, points_sha256=sha256, profile=profile)


def trial(dataset: PreparedDataset, eps: float = EPS, label: str = "spark") -> TrialAssignment:
    return TrialAssignment(
        trial_id=uuid4(),
        label=label,
        algorithm="spark-dbscan",
        parameters=get("spark-dbscan").canonical_parameters({"eps": eps, "min_samples": MIN_SAMPLES}),
        dataset=dataset,
        sample_size=dataset.n,
        sample_seed=0,
        seed=0,
        predicted_bytes=1_700_000_000,
    )


def batch(
    *trials: TrialAssignment, rounds: int = 1, sample_seconds: float = 120.0, attempt: int = 1
) -> BatchAssignment:
    return BatchAssignment(
        batch_id=uuid4(),
        run_id=uuid4(),
        attempt=attempt,
        queue=QueueName.SPARK,
        token="the-batch-token",
        heartbeat_seconds=3,
        lease_seconds=90,
        memory_limit_bytes=64 * 2**30,
        memory_limit_is_users=False,
        protocol=Protocol(rounds=rounds, warm_up=0, limits=Limits(sample_seconds=sample_seconds)),
        order_seed=1,
        trials=list(trials),
    )


def expected_sha256(values: NDArray[np.float64], eps: float = EPS) -> str:
    """Of scikit-learn's labels, in canonical numbering."""
    found = DBSCAN(eps=eps, min_samples=MIN_SAMPLES, algorithm="kd_tree").fit(values)
    core = np.zeros(len(values), dtype=bool)
    core[found.core_sample_indices_] = True
    return labels_sha256(canonical_labels(found.labels_.astype(np.int64), core))

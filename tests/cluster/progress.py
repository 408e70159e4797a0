"""How far a run is, from the public API and from what lies in the object store."""

from __future__ import annotations

from collections import Counter
from typing import Any

from app.contracts.measurement import TrialManifest
from tests.cluster.installation import Installation, object_store
from tests.cluster.kube import wait_for


def under_way(installation: Installation, run_id: str, samples: int) -> dict[str, Any]:
    """The run's first batch, once it has `samples` samples."""

    def look() -> dict[str, Any] | None:
        batch = installation.items(f"/v1/runs/{run_id}/batches")[0:1]
        progress = batch[0]["progress"] if batch else None
        return batch[0] if progress and progress["samples_done"] >= samples else None

    return wait_for(look, 180, f"{samples} samples of run {run_id}", pause=0.3)


def samples_by_attempt(installation: Installation, run_id: str, label: str | None = None) -> Counter[int]:
    """From the manifests in MinIO, of all trials or of one."""
    trials = installation.items(f"/v1/runs/{run_id}/trials")
    keys = [trial["manifest_key"] for trial in trials if label in (None, trial["label"])]
    with object_store(installation) as store:
        manifests = [TrialManifest.model_validate_json(store.get(key)) for key in keys]
    return Counter(sample.attempt for manifest in manifests for sample in manifest.samples)

"""What the tests of faults submit."""

from __future__ import annotations

from typing import Any

DATASETS = """
apiVersion: corepoint/v1
kind: Dataset
name: small
source: {generate: {kind: blobs, n: 100, centers: 3, spread: 0.3, seed: 1}}
---
apiVersion: corepoint/v1
kind: Dataset
name: large
source: {generate: {kind: blobs, n: 30000, centers: 20, spread: 0.3, seed: 1}}
"""
"""`small` is measured in no time, a round on `large` takes a second or two."""


def experiment(name: str, dataset: str = "small", rounds: int = 1) -> dict[str, Any]:
    """One trial in one batch."""
    return {
        "name": name,
        "datasets": [dataset],
        "parameters": {"eps": 0.15, "min_samples": 10},
        "algorithms": [{"algorithm": "sklearn-dbscan"}],
        "protocol": {"rounds": rounds, "reuse": "never"},
    }

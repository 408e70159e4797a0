"""Measured trials for the comparison's tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from app.contracts.canonical import digest
from app.contracts.failures import Failure
from app.contracts.measurement import Fingerprint, MemoryFigure, Phases, Sample
from app.contracts.states import RunState, TrialState
from app.domain.comparison import RunFacts, TrialFacts

BATCH, OTHER_BATCH = UUID(int=1), UUID(int=2)
MIB = 2**20
RUN_FACTS = RunFacts(UUID(int=9), "an-experiment", RunState.SUCCEEDED, "tree", rounds=5, seed=3)


def fingerprint(**parts: str | int | None) -> Fingerprint:
    """Of the reference's clustering, but for the parts named: core, partition, noise, labels, inadmissible."""
    hashes = {f"{name}_sha256": digest(parts.get(name, name)) for name in ("core", "partition", "noise", "labels")}
    return Fingerprint(**hashes, inadmissible_borders=parts.get("inadmissible", 0))


def sample(number: int, seconds: float, failure: Failure | None = None) -> Sample:
    return Sample(
        trial_id=UUID(int=0),
        round=number,
        order=0,
        attempt=1,
        started_at=datetime(2030, 1, 1, tzinfo=UTC),
        phases=Phases(fit=seconds),
        fit_cpu_seconds=2 * seconds,
        failure=failure,
    )


def trial(label: str, seconds: Sequence[float] = (1.0,), extra_mib: int = 100, **changes: Any) -> TrialFacts:
    """A finished trial with an untimed memory pass of 99 s before its rounds."""
    group = (changes.get("dataset", "cities"), changes.get("sample_size", 1_000), str(changes.get("parameters", "")))
    facts: dict[str, Any] = {
        "trial_id": uuid5(UUID(int=5), f"{label}/{group}"),
        "label": label,
        "algorithm": label,
        "algorithm_version": "1",
        "parameters": {"eps": 0.1},
        "problem": {"eps": 0.1},
        "dataset": "cities",
        "dataset_sha256": digest(group[0]),
        "d": 2,
        "sample_size": 1_000,
        "state": TrialState.SUCCEEDED,
        "is_reference": label == "tree",
        "measured_batch_id": BATCH,
        "samples": [sample(0, 99.0), *(sample(i, value) for i, value in enumerate(seconds, start=1))],
        "memory": MemoryFigure(peak_bytes=(200 + extra_mib) * MIB, baseline_bytes=200 * MIB, method="vmhwm"),
        "fingerprint": fingerprint(),
    }
    return TrialFacts(**(facts | changes))

"""Tidy results: one row per sample, failures included, as JSON or CSV, streamed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

from app.comparisons.facts import samples
from app.contracts.measurement import Sample, TrialManifest
from app.db.models import Trial
from app.resources import Resources
from app.runs import service as runs

_PHASES = ("start", "load", "warm_up", "fit", "score", "upload")
_EVIDENCE = (
    "voluntary_switches",
    "involuntary_switches",
    "throttled_periods",
    "cpu_pressure_share",
    "memory_pressure_share",
    "load_average",
)
_TRIAL = (
    "run_id", "trial_id", "label", "algorithm", "algorithm_version", "parameters", "dataset", "dataset_sha256",
    "sample_size", "queue", "state", "is_reference", "reused_from", "failure",
)  # fmt: skip
_SAMPLE = ("round", "order", "attempt", "started_at", "fit_cpu_seconds", "peak_bytes", "baseline_bytes",
           "memory_method", "labels_sha256", "repeated", "sample_failure")  # fmt: skip
COLUMNS = (*_TRIAL, *_SAMPLE, *(f"{phase}_seconds" for phase in _PHASES), *_EVIDENCE)
_TRIALS_AT_ONCE = 100


async def as_json(resources: Resources, run_id: UUID) -> AsyncIterator[str]:
    first = True
    yield "["
    async for row in _rows(resources, run_id):
        yield ("" if first else ",\n") + json.dumps(row)
        first = False
    yield "]\n"


async def as_csv(resources: Resources, run_id: UUID) -> AsyncIterator[str]:
    yield _line(COLUMNS)
    async for row in _rows(resources, run_id):
        row["parameters"] = json.dumps(row["parameters"], sort_keys=True)
        yield _line(row.values())


async def _rows(resources: Resources, run_id: UUID) -> AsyncIterator[dict[str, Any]]:
    position = -1
    while True:
        async with resources.database.read() as session:
            trials = await runs.measured_trials(session, run_id, position, _TRIALS_AT_ONCE)
        for trial in trials:
            for row in _of_trial(trial):
                yield row
        if len(trials) < _TRIALS_AT_ONCE:
            return
        position = trials[-1].position


def _of_trial(trial: Trial) -> Iterator[dict[str, Any]]:
    manifest = TrialManifest.model_validate(trial.manifest) if trial.manifest else None
    # A trial without a single sample is a row too: a failure never is a hole in the table.
    rows = [_sample_cells(sample) for sample in samples(trial, manifest)]
    for row in rows or [{}]:
        yield {**dict.fromkeys(COLUMNS), **_trial_cells(trial), **row}


def _trial_cells(trial: Trial) -> dict[str, Any]:
    return {
        "run_id": str(trial.run_id),
        "trial_id": str(trial.id),
        "label": trial.label,
        "algorithm": trial.algorithm,
        "algorithm_version": trial.algorithm_version,
        "parameters": trial.parameters,
        "dataset": trial.dataset,
        "dataset_sha256": trial.dataset_sha256,
        "sample_size": trial.sample_size,
        "queue": trial.queue.value if trial.queue else None,
        "state": trial.state.value,
        "is_reference": trial.is_reference,
        "reused_from": str(trial.reused_from) if trial.reused_from else None,
        "failure": trial.failure["code"] if trial.failure else None,
    }


def _sample_cells(sample: Sample) -> dict[str, Any]:
    memory, phases, evidence = sample.memory, sample.phases, sample.evidence
    return {
        "round": sample.round,
        "order": sample.order,
        "attempt": sample.attempt,
        "started_at": sample.started_at.isoformat(),
        "fit_cpu_seconds": sample.fit_cpu_seconds,
        "peak_bytes": memory.peak_bytes if memory else None,
        "baseline_bytes": memory.baseline_bytes if memory else None,
        "memory_method": memory.method if memory else None,
        "labels_sha256": sample.labels_sha256,
        "repeated": sample.repeated,
        "sample_failure": sample.failure.code.value if sample.failure else None,
        **{f"{phase}_seconds": getattr(phases, phase) for phase in _PHASES},
        **{name: getattr(evidence, name) for name in _EVIDENCE},
    }


def _line(cells: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(["" if cell is None else cell for cell in cells])
    return buffer.getvalue()

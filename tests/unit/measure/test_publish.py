"""What counts of two attempts at one trial, and what is no result at all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from app.contracts.assignment import BatchAssignment, TrialAssignment
from app.contracts.dataset import ColumnProfile, DistanceSketch, PreparedDataset, Profile
from app.contracts.experiment import Protocol
from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import (
    Artifact,
    Environment,
    Fingerprint,
    Outcome,
    Phases,
    Quality,
    Round,
    Sample,
    Scored,
)
from app.contracts.objects import manifest_key, round_key
from app.contracts.states import QueueName
from app.gateways.objects import FolderStore
from workers.measure.result import TrialResult
from workers.publish.manifest import publish
from workers.publish.rounds import StoredRounds

SHA = "ab" * 32
RUN, BATCH, TRIAL = UUID(int=8), UUID(int=9), UUID(int=1)
FAILURE = Failure.of(FailureCode.TIMEOUT, "it took too long")
ENVIRONMENT = Environment(
    cpu_model="test", cpu_quota=1.0, memory_limit_bytes=1 << 30, image="i", hostname="h", kernel="k", python="3.11"
)
COLUMN = ColumnProfile(name="x", minimum=0, maximum=1, mean=0.5, standard_deviation=0.1, constant=False)
DATASET = PreparedDataset(
    sha256=SHA, n=100, d=1, points_key="points", points_sha256=SHA,
    profile=Profile(
        n=100, d=1, rows_read=100, rows_missing=0, rows_infinite=0, rows_outside_box=0, rows_dropped=0, duplicates=0,
        columns=[COLUMN], sketch=DistanceSketch(n=100, radii=[0.1, 1.0], mean_neighbours=[1.0, 10.0]),
    ),
)  # fmt: skip
ASSIGNED = TrialAssignment(
    trial_id=TRIAL, label="sklearn-dbscan", algorithm="sklearn-dbscan", parameters={"eps": 1.0, "min_samples": 5},
    dataset=DATASET, sample_size=100, sample_seed=0, seed=0,
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path, "corepoint", frozenset())


def assignment(attempt: int) -> BatchAssignment:
    return BatchAssignment(
        batch_id=BATCH, run_id=RUN, attempt=attempt, queue=QueueName.DEFAULT, token="t", heartbeat_seconds=3,
        lease_seconds=80, memory_limit_bytes=1, memory_limit_is_users=False, protocol=Protocol(), order_seed=0,
        trials=[ASSIGNED],
    )  # fmt: skip


def sample(attempt: int) -> Sample:
    return Sample(
        trial_id=TRIAL, round=1, order=0, attempt=attempt, started_at=datetime(2030, 1, 1, tzinfo=UTC),
        phases=Phases(fit=float(attempt)),
    )  # fmt: skip


def success(attempt: int) -> TrialResult:
    scored = Scored(
        trial_id=TRIAL,
        fingerprint=Fingerprint(
            core_sha256=SHA, partition_sha256=SHA, noise_sha256=SHA, labels_sha256=SHA, inadmissible_borders=0
        ),
        quality=Quality(clusters=1, core_points=1, noise_share=0.0),
        labels=Artifact(key=f"a{attempt}/labels", sha256=SHA, size_bytes=1),
    )
    return TrialResult([sample(attempt)], scored)


def published(store: FolderStore, attempt: int, result: TrialResult) -> Outcome:
    [outcome] = publish(store, assignment(attempt), {TRIAL: result}, ENVIRONMENT).outcomes
    return outcome


@pytest.mark.parametrize("second", [success(2), TrialResult([sample(2)], failure=FAILURE)])
def test_the_first_complete_manifest_counts_whatever_the_second_attempt_met(
    store: FolderStore, second: TrialResult
) -> None:
    first = published(store, 1, success(1))
    assert published(store, 2, second) == first
    assert first.manifest is not None
    assert first.manifest.attempt == 1


def test_a_straggler_that_publishes_after_its_successor_adopts_what_lies_there(store: FolderStore) -> None:
    second = published(store, 2, success(2))
    assert published(store, 1, success(1)) == second


def test_a_failure_is_a_failure_where_no_attempt_has_published(store: FolderStore) -> None:
    outcome = published(store, 2, TrialResult([sample(2)], failure=FAILURE))
    assert (outcome.failure, outcome.samples) == (FAILURE, [sample(2)])


@pytest.mark.parametrize("damage", ["truncated", "empty", "of another trial"])
def test_a_damaged_manifest_is_no_result_and_is_not_replaced(store: FolderStore, damage: str) -> None:
    published(store, 1, success(1))
    key = manifest_key(RUN, TRIAL)
    body = store.get(key)
    other = body.replace(str(TRIAL).encode(), str(UUID(int=2)).encode())
    store.put(key, {"truncated": body[: len(body) // 2], "empty": b"", "of another trial": other}[damage])
    outcome = published(store, 2, success(2))
    assert outcome.failure is not None
    assert outcome.failure.code is FailureCode.ARTIFACT_CORRUPT
    assert outcome.manifest is None


@pytest.mark.parametrize("damage", ["truncated", "of another batch"])
def test_a_damaged_round_is_measured_again_and_replaced(store: FolderStore, damage: str) -> None:
    rounds = StoredRounds(store, assignment(2))
    key = round_key(RUN, BATCH, 1)
    body = Round(run_id=RUN, batch_id=BATCH, number=1, attempt=1, samples=[sample(1)]).model_dump_json().encode()
    strange = body.replace(str(BATCH).encode(), str(UUID(int=7)).encode())
    store.put(key, body[:-10] if damage == "truncated" else strange)
    assert rounds.saved() == {}
    again = Round(run_id=RUN, batch_id=BATCH, number=1, attempt=2, samples=[sample(2)])
    assert rounds.save(again) == again
    assert rounds.saved() == {1: again}

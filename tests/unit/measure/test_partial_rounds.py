"""Rules of rounds that several attempts measured: no sample counts twice, and nothing half is taken for whole."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from app.contracts.assignment import BatchAssignment
from app.contracts.experiment import Protocol
from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import Artifact, Fingerprint, Phases, Quality, Round, Sample, Scored
from app.contracts.states import QueueName
from app.gateways.objects import FolderStore
from workers.measure.parts import Piece, filled, kept_pieces
from workers.publish.rounds import StoredRounds

SHA = "0" * 64
TRIALS = [UUID(int=number) for number in range(5)]
DRAINED_AFTER = st.lists(st.integers(0, 3), max_size=12)
FAILURE = Failure.of(FailureCode.CRASH, "it crashed")


def sample(trial: UUID, number: int, attempt: int, failure: Failure | None = None) -> Sample:
    return Sample(
        trial_id=trial, round=number, order=0, attempt=attempt, started_at=datetime(2030, 1, 1, tzinfo=UTC),
        phases=Phases(fit=1.0), failure=failure,
    )  # fmt: skip


def scored(trial: UUID) -> Scored:
    return Scored(
        trial_id=trial,
        fingerprint=Fingerprint(
            core_sha256=SHA, partition_sha256=SHA, noise_sha256=SHA, labels_sha256=SHA, inadmissible_borders=0
        ),
        quality=Quality(clusters=1, core_points=1, noise_share=0.0),
        labels=Artifact(key="labels", sha256=SHA, size_bytes=1),
    )


def round_of(number: int, attempt: int, *pieces: Piece) -> Round:
    empty = Round(run_id=UUID(int=8), batch_id=UUID(int=9), number=number, attempt=attempt, samples=[])
    return filled(empty, pieces)


def stored(folder: Path, attempt: int) -> StoredRounds:
    assignment = BatchAssignment(
        batch_id=UUID(int=9), run_id=UUID(int=8), attempt=attempt, queue=QueueName.DEFAULT, token="t",
        heartbeat_seconds=3, lease_seconds=90, memory_limit_bytes=1, memory_limit_is_users=False, protocol=Protocol(),
        order_seed=0, trials=[],
    )  # fmt: skip
    return StoredRounds(FolderStore(folder, "corepoint", frozenset()), assignment)


@settings(max_examples=25, deadline=None)
@given(DRAINED_AFTER, st.integers(0, 2))
def test_attempts_that_drain_anywhere_measure_each_trial_once(drained_after: list[int], number: int) -> None:
    measured: list[UUID] = []
    with tempfile.TemporaryDirectory() as folder:
        for attempt, samples in enumerate([*drained_after, len(TRIALS)], start=1):
            log = stored(Path(folder), attempt)
            kept = kept_pieces(log.saved_parts()).get(number, {})
            mine = [trial for trial in TRIALS if trial not in kept][:samples]
            measured += mine
            pieces = [Piece(sample(one, number, attempt), None if number else scored(one)) for one in mine]
            if pieces:
                log.save_part(round_of(number, attempt, *pieces))
        whole = kept_pieces(stored(Path(folder), 99).saved_parts())[number]
        assert stored(Path(folder), 99).saved() == {}
    assert sorted(measured) == TRIALS
    assert set(whole) == set(TRIALS)


def test_of_two_samples_of_one_trial_the_earlier_attempts_counts(tmp_path: Path) -> None:
    """Two attempts at once: one is fenced, and both were drained. Ten comes after two."""
    for attempt in (10, 2):
        stored(tmp_path, attempt).save_part(round_of(1, attempt, Piece(sample(TRIALS[0], 1, attempt))))
    kept = kept_pieces(stored(tmp_path, 11).saved_parts())
    assert kept[1][TRIALS[0]].sample.attempt == 2


def test_a_memory_pass_counts_with_its_score_or_with_its_failure() -> None:
    part = round_of(
        0, 1,
        Piece(sample(TRIALS[0], 0, 1), scored(TRIALS[0])),
        Piece(sample(TRIALS[1], 0, 1)),
        Piece(sample(TRIALS[2], 0, 1, FAILURE)),
    )  # fmt: skip
    kept = kept_pieces([part])[0]
    assert set(kept) == {TRIALS[0], TRIALS[2]}
    assert kept[TRIALS[0]].scored == scored(TRIALS[0])


def test_a_first_attempt_does_not_ask_for_parts(tmp_path: Path) -> None:
    stored(tmp_path, 2).save_part(round_of(1, 2, Piece(sample(TRIALS[0], 1, 2))))
    assert stored(tmp_path, 1).saved_parts() == []


def test_a_part_that_cannot_be_read_is_measured_again(tmp_path: Path) -> None:
    stored(tmp_path, 1).save_part(round_of(1, 1, Piece(sample(TRIALS[0], 1, 1))))
    [file] = tmp_path.glob("**/partial-rounds/001-a1.json")
    file.write_text("{")
    assert stored(tmp_path, 2).saved_parts() == []

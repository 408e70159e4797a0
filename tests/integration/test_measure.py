"""Measuring a batch with real child processes."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import measured_adapters
import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from sklearn.cluster import DBSCAN

from app.contracts.assignment import BatchAssignment, Progress, TrialAssignment
from app.contracts.dataset import DistanceSketch, PreparedDataset, Profile
from app.contracts.experiment import Limits, Protocol
from app.contracts.failures import FailureCode
from app.contracts.measurement import Artifact, Environment, Round
from app.contracts.states import QueueName
from workers.algorithms import registry
from workers.datasets.prepared import PreparedPoints
from workers.measure.block import Cancelled, Control, Drained, TrialResult, measure_block
from workers.measure.nurseries import Nurseries
from workers.measure.nursery import Nursery

N = 1_500
SECRET = "COREPOINT_TEST_SECRET"
ENVIRONMENT = Environment(
    cpu_model="test", cpu_quota=2.0, memory_limit_bytes=2**33, image="test", hostname="t", kernel="t", python="3.11"
)
DATASET = PreparedDataset(
    sha256="0" * 64,
    n=N,
    d=2,
    points_key="p",
    points_sha256="0" * 64,
    profile=Profile(
        n=N, d=2, rows_read=N, rows_missing=0, rows_infinite=0, rows_outside_box=0, rows_dropped=0, duplicates=0,
        columns=[], sketch=DistanceSketch(n=N, radii=[1.0, 2.0], mean_neighbours=[1.0, 2.0]),
    ),
)  # fmt: skip


@dataclass
class RoundsInMemory:
    """A RoundLog whose store is a dict that outlives attempts."""

    rounds: dict[int, Round] = field(default_factory=dict)
    labels: dict[UUID, Path] = field(default_factory=dict)
    parts: list[Round] = field(default_factory=list)
    folder: Path = Path()

    def saved(self) -> dict[int, Round]:
        return dict(self.rounds)

    def save(self, finished: Round, /) -> Round:
        return self.rounds.setdefault(finished.number, finished)

    def saved_parts(self) -> list[Round]:
        return list(self.parts)

    def save_part(self, part: Round, /) -> None:
        self.parts.append(part)

    def publish_labels(self, trial_id: UUID, path: Path, /) -> Artifact:
        body = path.read_bytes()
        self.labels[trial_id] = self.folder / f"{trial_id}.parquet"
        self.labels[trial_id].write_bytes(body)
        return Artifact(key=str(trial_id), sha256=hashlib.sha256(body).hexdigest(), size_bytes=len(body))


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """As a flow run has it: forked by one that its worker started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(measured_adapters.__file__).parent))
        patch.setenv(SECRET, "hunter2")
        nurseries = Nurseries()
        nurseries.start()
        with Nursery(nurseries.fork()) as started:
            yield started
        nurseries.close()


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> PreparedPoints:
    path = tmp_path_factory.mktemp("data") / "points.npy"
    np.save(path, np.random.default_rng(0).normal(size=(N, 2)))
    return PreparedPoints(points=path, truth=None, n=N, d=2)


def assigned(trials: Sequence[TrialAssignment], attempt: int = 1, **protocol: Any) -> BatchAssignment:
    users = "limits" in protocol and protocol["limits"].memory is not None
    return BatchAssignment(
        batch_id=UUID(int=1),
        run_id=UUID(int=2),
        attempt=attempt,
        queue=QueueName.DEFAULT,
        token="t",
        heartbeat_seconds=3,
        lease_seconds=90,
        memory_limit_bytes=protocol["limits"].memory if users else 2**32,
        memory_limit_is_users=users,
        protocol=Protocol(**{"rounds": 1, **protocol}),
        order_seed=7,
        trials=list(trials),
    )


@dataclass
class Bench:
    """Measures trials of the test adapters; each test has its own journal, scratch folder and log of rounds."""

    nursery: Nursery
    points: PreparedPoints
    tmp_path: Path
    log: RoundsInMemory
    progress: list[Progress] = field(default_factory=list)
    control: Control = field(init=False)

    def __post_init__(self) -> None:
        self.control = Control(progress=self.progress.append)
        self.journal.touch()
        self.scratch.mkdir()

    @property
    def journal(self) -> Path:
        return self.tmp_path / "journal"

    @property
    def scratch(self) -> Path:
        return self.tmp_path / "scratch"

    def written(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def measure(self, *trials: TrialAssignment, attempt: int = 1, **protocol: Any) -> list[TrialResult]:
        results = measure_block(
            assigned(trials, attempt, **protocol),
            {trial.trial_id: self.points for trial in trials},
            self.log,
            ENVIRONMENT,
            self.scratch,
            self.control,
            algorithms=measured_adapters.ADAPTERS.__getitem__,
            nursery=self.nursery,
        )
        return [results[trial.trial_id] for trial in trials]

    def trial(self, act: str = "cluster", algorithm: str = "actor", **parameters: Any) -> TrialAssignment:
        return TrialAssignment(
            trial_id=uuid4(),
            label=act,
            algorithm=algorithm,
            parameters={"act": act, "journal": str(self.journal), **parameters},
            dataset=DATASET,
            sample_size=N,
            sample_seed=0,
            seed=0,
        )


@pytest.fixture
def bench(nursery: Nursery, points: PreparedPoints, tmp_path: Path) -> Iterator[Bench]:
    yield Bench(nursery, points, tmp_path, RoundsInMemory(folder=tmp_path))
    if nursery.pid is not None:
        assert [child for child in psutil.Process(nursery.pid).children(recursive=True) if is_alive(child.pid)] == []
    assert list((tmp_path / "scratch").iterdir()) == []


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_every_sample_runs_in_a_fresh_process_that_leads_its_session(bench: Bench) -> None:
    bench.measure(bench.trial(), bench.trial(), rounds=2)
    fits = bench.written()
    assert len(fits) == 6
    assert len({fit["pid"] for fit in fits}) == 6
    assert all(fit["session"] == fit["pid"] for fit in fits)
    assert {fit["threads"] for fit in fits} == {2}


def test_a_good_trial_has_samples_of_all_rounds_and_a_score_with_labels(bench: Bench) -> None:
    trial = bench.trial()
    [result] = bench.measure(trial, rounds=2)
    assert result.failure is None
    assert [sample.round for sample in result.samples] == [0, 1, 2]
    assert [sample.memory is not None for sample in result.samples] == [True, False, False]
    for sample in result.samples:
        phases = sample.phases
        assert None not in (phases.start, phases.load, phases.warm_up, phases.fit, phases.score)
        assert (phases.upload is not None) == (sample.round == 0)
        assert sample.evidence.voluntary_switches is not None
    assert result.scored is not None
    assert {sample.labels_sha256 for sample in result.samples} == {result.scored.fingerprint.labels_sha256}
    assert result.scored.quality.clusters == 1
    table = pq.read_table(bench.log.labels[trial.trial_id])
    assert table.schema.names == ["label", "core"]
    assert [str(kind) for kind in table.schema.types] == ["int64", "bool"]
    assert table.num_rows == N


def test_rounds_interleave_the_trials_in_an_order_that_the_seed_gives(bench: Bench) -> None:
    trials = [bench.trial() for _ in range(3)]
    bench.measure(*trials, rounds=2)
    orders = [[sample.trial_id for sample in bench.log.rounds[number].samples] for number in range(3)]
    assert all(set(order) == {trial.trial_id for trial in trials} for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    again = Bench(bench.nursery, bench.points, _made(bench.tmp_path / "again"), RoundsInMemory(folder=bench.tmp_path))
    again.measure(*trials, rounds=2)
    assert orders == [[sample.trial_id for sample in again.log.rounds[number].samples] for number in range(3)]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_saved_rounds_are_not_measured_again(bench: Bench) -> None:
    trial, other = bench.trial(), bench.trial()
    bench.measure(trial, other, rounds=1)
    results = bench.measure(trial, other, rounds=2)
    assert len(bench.written()) == 6
    assert all([sample.round for sample in result.samples] == [0, 1, 2] for result in results)
    assert all(result.scored is not None for result in results)


def test_the_round_of_an_attempt_that_was_first_counts(bench: Bench) -> None:
    trial = bench.trial()
    bench.measure(trial, rounds=1)
    first = bench.log.rounds
    late = RoundsInMemory(folder=bench.tmp_path)
    late.save = lambda finished, /: first[finished.number]  # type: ignore[method-assign]
    bench.log = late
    [result] = bench.measure(trial, rounds=1)
    assert result.samples == [first[0].samples[0], first[1].samples[0]]


def test_a_trial_that_failed_in_a_saved_round_stays_failed(bench: Bench) -> None:
    crashing, good = bench.trial("crash"), bench.trial()
    bench.measure(crashing, good, rounds=1)
    [crashed, fine] = bench.measure(crashing, good, rounds=3)
    assert crashed.failure is not None
    assert len(crashed.samples) == 1
    assert len(fine.samples) == 4
    assert len([entry for entry in bench.written() if entry["act"] == "crash"]) == 1


def test_progress_counts_samples(bench: Bench) -> None:
    bench.measure(bench.trial(), bench.trial("crash_in_second_fit"), rounds=2)
    assert [(told.round, told.samples_done, told.samples_total) for told in bench.progress] == [
        (0, 0, 6), (0, 1, 6), (0, 2, 6), (1, 2, 6), (1, 3, 6), (1, 4, 6), (2, 4, 5), (2, 5, 5),
    ]  # fmt: skip


def test_a_segmentation_fault_is_a_crash_with_last_words_and_the_others_go_on(bench: Bench) -> None:
    [crashed, left, good] = bench.measure(bench.trial("crash"), bench.trial("leave"), bench.trial())
    assert crashed.failure is not None
    assert crashed.failure.code is FailureCode.CRASH
    assert crashed.failure.detail["signal"] == "SIGSEGV"
    assert "last words" in crashed.failure.detail["log_tail"]
    assert len(crashed.failure.detail["log_tail"]) <= 4_000
    assert crashed.samples[0].phases.load is not None
    assert crashed.samples[0].phases.fit is None
    assert left.failure is not None
    assert left.failure.detail["exit_code"] == 3
    assert good.failure is None
    assert len(good.samples) == 2


def test_an_exception_is_an_adapter_error_with_its_traceback(bench: Bench) -> None:
    [result] = bench.measure(bench.trial("fall"))
    assert result.failure is not None
    assert result.failure.code is FailureCode.ADAPTER_ERROR
    assert result.failure.message == "ValueError: no such neighbourhood: ?"
    assert "in fall" in result.failure.detail["traceback"]


def test_labels_that_break_the_contract_are_an_invalid_result(bench: Bench) -> None:
    [result] = bench.measure(bench.trial("break_contract"))
    assert result.failure is not None
    assert result.failure.code is FailureCode.INVALID_RESULT


def test_labels_that_differ_between_rounds_are_an_invalid_result(bench: Bench) -> None:
    [result] = bench.measure(bench.trial("vary"), rounds=2)
    assert result.failure is not None
    assert result.failure.code is FailureCode.INVALID_RESULT
    assert "labels differ between rounds" in result.failure.message
    assert [sample.failure is None for sample in result.samples] == [True, False]


def test_a_sample_that_was_killed_from_outside_is_repeated_once(bench: Bench) -> None:
    [once, always] = bench.measure(bench.trial("be_killed_once"), bench.trial("be_killed"))
    assert once.failure is None
    assert [sample.repeated for sample in once.samples] == [1, 0]
    assert always.failure is not None
    assert always.failure.code is FailureCode.KILLED
    assert always.failure.detail["signal"] == "SIGKILL"
    assert [sample.repeated for sample in always.samples] == [1]
    assert len([entry for entry in bench.written() if entry["act"] == "be_killed"]) == 2


def test_a_killed_nursery_is_replaced_and_the_sample_repeated(bench: Bench) -> None:
    [result] = bench.measure(bench.trial("orphan_the_nursery"))
    assert result.failure is None
    assert [sample.repeated for sample in result.samples] == [1, 0]
    assert not is_alive(bench.written()[0]["pid"])


def test_the_time_limit_ends_the_whole_process_tree(bench: Bench) -> None:
    [result] = bench.measure(bench.trial("sleep_with_family"), limits=Limits(sample_seconds=0.7))
    assert result.failure is not None
    assert result.failure.code is FailureCode.TIMEOUT
    assert result.failure.detail["limit_seconds"] == 0.7
    assert result.failure.detail["phase"] == "fit"
    assert 0.7 < result.failure.detail["measured_seconds"] < 1.5
    family = bench.written()[1]["family"]
    assert len(family) == 2
    assert not any(is_alive(pid) for pid in family)


@pytest.mark.parametrize("act", ["allocate", "allocate_elsewhere"])
def test_the_memory_limit_ends_the_sample_and_names_both_numbers(bench: Bench, act: str) -> None:
    limit = 700 * 1024**2
    [result] = bench.measure(bench.trial(act, megabytes=1_200), limits=Limits(memory=limit))
    assert result.failure is not None
    assert result.failure.code is FailureCode.MEMOUT
    assert result.failure.detail["limit_bytes"] == limit
    assert result.failure.detail["measured_bytes"] > limit
    assert result.failure.detail["limit_is_users"] is True


def test_what_cannot_run_here_fails_without_a_child(bench: Bench) -> None:
    bench.points = PreparedPoints(points=bench.points.points, truth=None, n=N, d=4)
    [absent, unsupported, unknown] = bench.measure(
        bench.trial(algorithm="absent"), bench.trial(algorithm="actor"), bench.trial(algorithm="unheard-of")
    )
    codes = [result.failure.code for result in (absent, unsupported, unknown) if result.failure]
    assert codes == [FailureCode.NOT_AVAILABLE, FailureCode.NOT_SUPPORTED, FailureCode.NOT_AVAILABLE]
    assert bench.written() == []
    assert bench.log.rounds == {}


def test_cancelling_ends_the_current_sample_within_a_second_and_keeps_saved_rounds(bench: Bench) -> None:
    trial = bench.trial()
    bench.measure(trial, rounds=1)
    sleeper = bench.trial("sleep_with_family")

    def cancel() -> None:
        while len(bench.written()) < 4:
            time.sleep(0.01)
        asked.append(time.monotonic())
        bench.control.cancelled.set()

    asked: list[float] = []
    thread = threading.Thread(target=cancel)
    thread.start()
    bench.log.rounds.pop(1)
    with pytest.raises(Cancelled):
        bench.measure(trial.model_copy(update={"parameters": sleeper.parameters}), rounds=1)
    assert time.monotonic() - asked[0] < 1.0
    thread.join()
    assert set(bench.log.rounds) == {0}
    entries = bench.written()
    assert not any(is_alive(pid) for pid in [entries[2]["pid"], *entries[3]["family"]])


@pytest.mark.parametrize("number", [0, 1])
def test_a_drained_round_is_completed_by_the_next_attempt_and_no_sample_is_taken_twice(
    bench: Bench, number: int
) -> None:
    trials = [bench.trial() for _ in range(3)]
    bench.control = draining_after(3 * number + 1)
    with pytest.raises(Drained):
        bench.measure(*trials)
    [part] = bench.log.parts
    assert (part.number, len(part.samples), len(part.scored)) == (number, 2, 2 if number == 0 else 0)
    assert set(bench.log.rounds) == set(range(number))
    bench.control = Control()
    results = bench.measure(*trials, attempt=2)
    assert len(bench.written()) == 6
    completed = bench.log.rounds[number]
    assert [sample.attempt for sample in completed.samples] == [1, 1, 2]
    assert [sample.order for sample in completed.samples] == [0, 1, 2]
    assert completed.samples[:2] == part.samples
    assert all(result.scored is not None and len(result.samples) == 2 for result in results)


def test_a_failure_in_a_part_of_a_round_is_kept(bench: Bench) -> None:
    trials = [bench.trial("crash"), bench.trial("crash")]
    bench.control = draining_after(0)
    with pytest.raises(Drained):
        bench.measure(*trials)
    bench.control = Control()
    results = bench.measure(*trials, attempt=2)
    assert [result.failure is not None for result in results] == [True, True]
    assert len(bench.written()) == 2


def test_draining_before_the_first_sample_of_a_round_leaves_no_part(bench: Bench) -> None:
    bench.control.draining.set()  # type: ignore[attr-defined] # an Event here
    with pytest.raises(Drained):
        bench.measure(bench.trial())
    assert bench.log.parts == []
    assert bench.written() == []


def draining_after(samples: int) -> Control:
    """Told to drain while the sample after so many runs: it is finished, the next one is not begun."""
    asked = threading.Event()

    def drain(told: Progress) -> None:
        if told.samples_done == samples:
            asked.set()

    return Control(progress=drain, draining=asked)


def test_a_session_keeps_its_child_and_starts_once(bench: Bench) -> None:
    [result] = bench.measure(bench.trial(algorithm="session-actor"), rounds=2, warm_up=2)
    assert result.failure is None
    # Round 0, one more fit until there were two, then the timed fits.
    assert len(bench.written()) == 4
    assert len({entry["pid"] for entry in bench.written()}) == 1
    starts = [sample.phases.start for sample in result.samples]
    assert starts[0] is not None
    assert starts[0] > 0.2
    assert starts[1:] == [None, None]
    assert result.samples[0].phases.load is not None
    assert result.samples[1].phases.load is None


def test_each_trial_of_a_session_has_its_memory_pass_in_a_fresh_child(bench: Bench) -> None:
    bench.measure(bench.trial(algorithm="session-actor"), bench.trial("vary", algorithm="session-actor"), rounds=1)
    pids = [entry["pid"] for entry in bench.written()]
    assert pids[0] != pids[1]
    assert pids[1:] == [pids[1]] * 3


def test_a_session_that_crashed_is_opened_again_for_the_next_trial(bench: Bench) -> None:
    crashing = bench.trial("crash_in_second_fit", algorithm="session-actor")
    [crashed, good] = bench.measure(crashing, bench.trial(algorithm="session-actor"), rounds=2)
    assert crashed.failure is not None
    assert crashed.failure.code is FailureCode.CRASH
    assert good.failure is None
    assert len(good.samples) == 3


def test_peak_memory_of_a_known_allocation_is_right_within_5_percent(bench: Bench) -> None:
    [inside, elsewhere] = bench.measure(
        bench.trial("allocate", megabytes=200), bench.trial("allocate_elsewhere", megabytes=200)
    )
    own = inside.samples[0].memory
    assert own is not None
    assert own.method == "vmhwm"
    assert own.extra_bytes == pytest.approx(200 * 1024**2, rel=0.05)
    tree = elsewhere.samples[0].memory
    assert tree is not None
    assert tree.method == "tree-rss-sampled"
    # The other process is an interpreter of its own: 10 MiB bare, 26 MiB when it is traced.
    assert 0.95 * 200 * 1024**2 <= tree.extra_bytes <= 1.05 * 200 * 1024**2 + 30 * 1024**2


def test_a_child_that_speaks_out_of_turn_is_not_believed(bench: Bench) -> None:
    [result] = bench.measure(bench.trial("forge"))
    assert result.failure is not None
    assert result.failure.code is FailureCode.INTERNAL
    assert len(result.samples) == 1


def test_a_defect_in_the_checks_of_one_adapter_does_not_end_the_others(bench: Bench) -> None:
    [broken, good] = bench.measure(bench.trial(algorithm="broken"), bench.trial())
    assert broken.failure is not None
    assert broken.failure.code is FailureCode.ADAPTER_ERROR
    assert good.failure is None


def test_children_see_no_secret_and_the_thread_quota(bench: Bench) -> None:
    [result] = bench.measure(bench.trial("tell_environment"))
    assert result.scored is not None
    environment = result.scored.details["environment"]
    assert SECRET not in environment
    assert environment["OMP_NUM_THREADS"] == environment["LOKY_MAX_CPU_COUNT"] == "2"
    assert environment["PATH"] == os.environ["PATH"]


def test_the_nursery_has_one_thread_before_it_forks_and_after(bench: Bench) -> None:
    bench.measure(bench.trial())
    assert bench.nursery.pid is not None
    assert psutil.Process(bench.nursery.pid).num_threads() == 1


def test_a_nursery_that_was_given_and_is_dead_is_replaced_before_a_sample_needs_it(
    points: PreparedPoints, tmp_path: Path
) -> None:
    given, dead = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    dead.close()
    with Nursery(given) as replaced:
        bench = Bench(replaced, points, tmp_path, RoundsInMemory(folder=tmp_path))
        [result] = bench.measure(bench.trial("tell_environment"))
    assert result.failure is None
    assert [sample.repeated for sample in result.samples] == [0, 0]


ORPHANING = """
import sys
from pathlib import Path
import test_measure
folder = Path(sys.argv[1])
points = test_measure.PreparedPoints(Path(sys.argv[2]), None, test_measure.N, 2)
with test_measure.Nursery() as nursery:
    bench = test_measure.Bench(nursery, points, folder, test_measure.RoundsInMemory(folder=folder))
    bench.measure(bench.trial("sleep_with_family"))
"""


def test_nothing_outlives_the_measuring_process(points: PreparedPoints, tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHANING, str(tmp_path), str(points.points)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([here, str(Path(here).parents[1])])},
    )
    journal = tmp_path / "journal"
    entries: list[str] = []
    while len(entries) < 2 and parent.poll() is None:
        time.sleep(0.05)
        entries = journal.read_text().splitlines() if journal.exists() else []
    below = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
    family = [*below, *json.loads(entries[1])["family"]]
    assert len(set(family)) == 4
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 3
    while any(is_alive(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(is_alive(pid) for pid in family)


def test_the_catalogues_adapters_are_measured_as_they_are(points: PreparedPoints, tmp_path: Path) -> None:
    """Through the registry, with a fork server of its own: what a worker does."""
    trials = [
        TrialAssignment(
            trial_id=uuid4(),
            label=name,
            algorithm=name,
            parameters=registry.get(name).canonical_parameters({"eps": 0.3}),
            dataset=DATASET,
            sample_size=N,
            sample_seed=0,
            seed=0,
        )
        for name in ("sklearn-dbscan", "sklearn-dbscan-parallel")
    ]
    log = RoundsInMemory(folder=tmp_path)
    data = {trial.trial_id: points for trial in trials}
    results = measure_block(assigned(trials, rounds=1), data, log, ENVIRONMENT, tmp_path, Control())
    scored = [results[trial.trial_id].scored for trial in trials]
    assert scored[0] is not None
    assert scored[1] is not None
    assert scored[0].fingerprint == scored[1].fingerprint
    assert scored[0].fingerprint.inadmissible_borders == 0
    expected = DBSCAN(eps=0.3, algorithm="kd_tree").fit(np.load(points.points, allow_pickle=False)).labels_
    assert pq.read_table(log.labels[trials[0].trial_id])["label"].to_pylist() == expected.tolist()

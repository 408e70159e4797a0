"""The small rules of measuring: order, memory figures, phases of a dead child, its words, its process tree."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contracts.measurement import MemoryFigure
from workers.measure import processes, text
from workers.measure.block import shuffled
from workers.measure.memory import UNSUPPORTED, PeakMeter, TreePeak, best_figure
from workers.measure.phases import PhaseClock, read_reached
from workers.measure.threads import wait_until_threads_sleep

MIB = 1024**2


@given(items=st.lists(st.integers(), unique=True), seed=st.integers(0, 2**32 - 1), number=st.integers(0, 100))
def test_the_order_of_a_round_is_a_permutation_that_seed_and_number_determine(
    items: list[int], seed: int, number: int
) -> None:
    order = shuffled(items, seed, number)
    assert sorted(order) == sorted(items)
    assert order == shuffled(items, seed, number)


def test_every_place_of_a_round_falls_to_every_trial_alike() -> None:
    firsts = [shuffled(range(4), 1, number)[0] for number in range(2_000)]
    assert all(400 < firsts.count(trial) < 600 for trial in range(4))


def test_the_high_water_mark_counts_memory_that_is_free_again() -> None:
    meter = PeakMeter()
    np.ones(100 * MIB, dtype=np.uint8).sum()
    figure = meter.figure()
    assert figure.method == "vmhwm"
    assert figure.extra_bytes == pytest.approx(100 * MIB, rel=0.05)


@given(st.lists(st.integers(1, 2**40), min_size=1))
def test_a_sampled_peak_is_the_highest_sum_and_never_below_its_baseline(sums: list[int]) -> None:
    peak = TreePeak(baseline_bytes=1_000)
    for rss in sums:
        peak.add(rss, is_single=True)
    assert peak.figure().peak_bytes == max([1_000, *sums])


OWN = MemoryFigure(peak_bytes=20, baseline_bytes=10, method="vmhwm")


def test_one_process_is_measured_exactly_and_a_tree_by_samples() -> None:
    tree = TreePeak(baseline_bytes=15)
    tree.add(40, is_single=True)
    assert best_figure(OWN, tree) == OWN
    tree.add(35, is_single=False)
    assert best_figure(OWN, tree) == MemoryFigure(peak_bytes=40, baseline_bytes=15, method="tree-rss-sampled")


def test_where_the_mark_cannot_be_reset_the_samples_count_and_without_them_nothing() -> None:
    tree = TreePeak(baseline_bytes=15)
    assert best_figure(UNSUPPORTED, tree) == UNSUPPORTED
    tree.add(40, is_single=True)
    assert best_figure(UNSUPPORTED, tree).method == "tree-rss-sampled"
    assert best_figure(OWN, None) == OWN
    assert best_figure(None, None) == UNSUPPORTED


def test_a_dead_child_leaves_the_phase_it_was_in_and_the_times_before(tmp_path: Path) -> None:
    clock = PhaseClock(tmp_path / "status")
    clock.note("start", 0.5)
    with clock.timing("load"):
        pass
    clock.announce("fit")
    reached = read_reached(tmp_path / "status")
    assert reached.phase == "fit"
    assert reached.phases.start == 0.5
    assert reached.phases.load is not None
    assert reached.phases.fit is None
    clock.close()


@pytest.mark.parametrize("told", [b"", b"[]", b'{"phase": []}', b'{"phase": "load", "phases": {"fit": "x"}}'])
def test_a_child_that_left_nothing_readable_did_not_get_beyond_its_start(tmp_path: Path, told: bytes) -> None:
    (tmp_path / "status").write_bytes(told)
    assert read_reached(tmp_path / "status").phase == "start"
    assert read_reached(tmp_path / "missing").phase == "start"


@given(st.text(alphabet=st.characters()))
def test_words_of_a_child_become_text_that_every_store_takes(words: str) -> None:
    clean = text.as_text(words + "\0\ud800")
    assert "\0" not in clean
    clean.encode()


def test_the_tail_of_a_log_is_bounded_and_leaves_the_list_of_modules_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 50_000 + b"\nthe stack\nExtension modules: " + b"numpy, " * 1_000 + b"\n")
    tail = text.tail(log)
    assert len(tail) == 4_000
    assert tail.endswith("the stack\n")
    assert text.tail(tmp_path / "missing") == ""


def test_a_log_that_grew_too_large_is_cut_while_it_is_written(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab", buffering=0) as writer:
        writer.write(b"a" * 10_000 + b"end")
        text.bound(tmp_path / "log", size=5_000, keep=100)
        writer.write(b" and more")
    assert (tmp_path / "log").read_bytes() == b"a" * 97 + b"end and more"


def test_a_tree_counts_the_memory_of_descendants() -> None:
    tree = processes.Tree(os.getpid())
    before = tree.rss()
    code = f"a = b'x' * {60 * MIB}; print(1, flush=True); input()"
    program = [sys.executable, "-c", code]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        later = processes.Tree(os.getpid())
        grown = later.rss() - before
        child.communicate(b"\n")
    assert not later.is_single
    assert 60 * MIB < grown < 100 * MIB


def test_killing_a_session_ends_orphans_of_dead_leaders_too() -> None:
    script = "(sleep 60 & echo $!) ; exit 0"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout is not None
        orphan = int(leader.stdout.readline())
        leader.wait()
        assert processes.session(orphan) == leader.pid
        begun = time.monotonic()
        processes.kill_session(leader.pid)
        assert time.monotonic() - begun < 0.5
        assert processes.session(orphan) is None


def spin(seconds: float) -> threading.Thread:
    """A thread that computes without the interpreter's lock, as OpenBLAS's do."""
    begun = time.monotonic()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 20_000)
    rounds = int(20_000 * seconds / (time.monotonic() - begun))
    thread = threading.Thread(target=hashlib.pbkdf2_hmac, args=("sha256", b"", b"", rounds))
    thread.start()
    return thread


def test_a_fit_waits_for_threads_that_still_spin_but_not_for_ever() -> None:
    spinner = spin(0.2)
    wait_until_threads_sleep(at_most=30.0)
    spinner.join(0.05)
    assert not spinner.is_alive()
    restless = spin(2.0)
    begun = time.monotonic()
    wait_until_threads_sleep(at_most=0.1)
    assert time.monotonic() - begun >= 0.1
    assert restless.is_alive()
    restless.join()

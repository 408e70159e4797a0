"""The mark of a pod's control group: of either version, and only where it tells of the fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.contracts.measurement import MemoryFigure
from workers.measure.group_peak import GroupPeak
from workers.measure.memory import TreePeak, best_figure

NAMES = {
    "cgroup-peak-v2": ("memory.peak", "memory.current"),
    "cgroup-peak-v1": ("memory.max_usage_in_bytes", "memory.usage_in_bytes"),
}


class Group:
    """A made-up control group, as a container sees its own."""

    def __init__(self, root: Path, method: str) -> None:
        self.proc, self._folder, self._method = root / "proc", root / "cgroup", method
        self.proc.mkdir()
        self._folder.mkdir()
        (self._folder / "cgroup.controllers").write_text("cpu memory")
        unified = method == "cgroup-peak-v2"
        kind, options = ("cgroup2", "nsdelegate") if unified else ("cgroup", "memory")
        (self.proc / "mountinfo").write_text(f"30 24 0:26 / {self._folder} ro,nosuid - {kind} cgroup ro,{options}")
        (self.proc / "cgroup").write_text("0::/" if unified else "4:memory:/")

    def holds(self, *, peak: int, usage: int, hits: int = 0) -> None:
        for name, value in zip(NAMES[self._method], (peak, usage), strict=True):
            (self._folder / name).write_text(f"{value}\n")
        (self._folder / "memory.events").write_text(f"low 0\nhigh 0\nmax {hits}\noom 0\n")
        (self._folder / "memory.failcnt").write_text(f"{hits}\n")


@pytest.fixture(params=list(NAMES))
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def group(tmp_path: Path, method: str) -> Group:
    return Group(tmp_path, method)


def test_a_mark_that_rose_during_the_fit_is_its_peak_above_the_level_before(group: Group, method: str) -> None:
    group.holds(peak=300, usage=250)
    meter = GroupPeak(group.proc)
    group.holds(peak=900, usage=260)
    assert meter.figure() == MemoryFigure(peak_bytes=900, baseline_bytes=250, method=method)


def test_a_mark_from_before_the_fit_says_nothing_of_it(group: Group) -> None:
    group.holds(peak=900, usage=250)
    meter = GroupPeak(group.proc)
    group.holds(peak=900, usage=600)
    assert meter.figure() is None


def test_where_the_limit_was_reached_the_level_before_is_not_subtracted(group: Group) -> None:
    group.holds(peak=300, usage=250, hits=2)
    meter = GroupPeak(group.proc)
    group.holds(peak=1_000, usage=260, hits=3)
    assert meter.figure() is None


def test_without_a_control_group_there_is_no_figure(tmp_path: Path) -> None:
    assert GroupPeak(tmp_path / "nothing").figure() is None


def test_the_control_group_counts_before_a_sampled_tree(method: str) -> None:
    exact = MemoryFigure(peak_bytes=900, baseline_bytes=250, method=method)
    tree = TreePeak(baseline_bytes=10)
    tree.add(2_000, is_single=False)
    assert exact.is_of_the_pod
    assert best_figure(exact, tree) == exact

"""Limits are read from control groups of either version, wherever they are mounted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from workers.measure import cgroup
from workers.measure.evidence import Witness


@dataclass
class Machine:
    """A made-up /proc/self and /sys/fs/cgroup."""

    root: Path

    @property
    def proc(self) -> Path:
        return self.root / "proc"

    def group(self, path: str, **files: str) -> None:
        folder = self.root / "cgroup" / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text)

    def is_in(self, *lines: str) -> None:
        self.proc.mkdir(exist_ok=True)
        (self.proc / "cgroup").write_text("\n".join(lines))

    def mounts(self, *mounts: tuple[str, str, str, str]) -> None:
        """(root, folder, type, options) of each."""
        self.proc.mkdir(exist_ok=True)
        (self.proc / "mountinfo").write_text(
            "\n".join(
                f"30 24 0:26 {root} {self.root / 'cgroup' / folder} rw,nosuid - {kind} cgroup rw,{options}"
                for root, folder, kind, options in mounts
            )
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_version_2_takes_the_tightest_limit_of_the_own_group_and_its_ancestors(machine: Machine) -> None:
    machine.mounts(("/", "", "cgroup2", "nsdelegate"))
    machine.is_in("0::/pods/one")
    machine.group("", cgroup__controllers="cpu memory")
    machine.group("pods", cpu__max="150000 100000\n", memory__max="max\n")
    machine.group("pods/one", cpu__max="200000 100000\n", memory__max="4096\n")
    assert cgroup.read_limits(machine.proc) == (1.5, 4096)


def test_version_1_has_a_hierarchy_for_each_controller(machine: Machine) -> None:
    machine.mounts(
        ("/", "cpu,cpuacct", "cgroup", "cpu,cpuacct"),
        ("/", "memory", "cgroup", "memory"),
        ("/", "unified", "cgroup2", "rw"),
    )
    machine.is_in("3:cpu,cpuacct:/a", "2:memory:/b", "0::/")
    machine.group("cpu,cpuacct/a", cpu__cfs_quota_us="50000\n", cpu__cfs_period_us="100000\n")
    machine.group("memory/b", memory__limit_in_bytes="8192\n")
    machine.group("unified", cgroup__controllers="")
    assert cgroup.read_limits(machine.proc) == (0.5, 8192)


def test_no_quota_is_no_limit(machine: Machine) -> None:
    machine.mounts(("/", "", "cgroup2", "rw"))
    machine.is_in("0::/")
    machine.group("", cgroup__controllers="cpu memory", cpu__max="max 100000", memory__max="max")
    assert cgroup.read_limits(machine.proc) == (None, None)


def test_a_path_that_the_container_does_not_see_means_the_mounted_group(machine: Machine) -> None:
    machine.mounts(("/kubepods/pod1", "", "cgroup2", "rw"))
    machine.is_in("0::/kubepods/pod1")
    machine.group("", cgroup__controllers="cpu memory", memory__max="1024")
    assert cgroup.folders("memory", machine.proc) == [machine.root / "cgroup"]
    machine.is_in("0::/somewhere/else")
    assert cgroup.read_limits(machine.proc).memory_bytes == 1024


def test_evidence_that_cannot_be_read_is_none(machine: Machine) -> None:
    witness = Witness(machine.proc)
    witness.begin()
    evidence = witness.end()
    assert evidence.throttled_periods is None
    assert evidence.voluntary_switches is not None


def test_evidence_counts_what_happened_between_begin_and_end(machine: Machine) -> None:
    machine.mounts(("/", "", "cgroup2", "rw"))
    machine.is_in("0::/")
    pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"
    machine.group("", cgroup__controllers="cpu memory", cpu__stat="nr_throttled 3\n", cpu__pressure=pressure.format(5))
    witness = Witness(machine.proc)
    witness.begin()
    machine.group("", cpu__stat="nr_throttled 7\n", cpu__pressure=pressure.format(10**12))
    evidence = witness.end()
    assert evidence.throttled_periods == 4
    assert evidence.cpu_pressure_share == 1.0

"""What a worker tells of itself, and what of its environment children may see."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import workers
from workers.measure import environment
from workers.measure.nursery import scrubbed_environment
from workers.measure.threads import THREAD_VARIABLES


def test_the_environment_names_hardware_limits_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREPOINT_IMAGE", "sha256:abc")
    captured = environment.capture()
    assert captured.image == "sha256:abc"
    assert 0 < captured.cpu_quota <= len(os.sched_getaffinity(0))
    assert 0 < captured.memory_limit_bytes <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert captured.libraries["numpy"] == np.__version__
    assert captured.cpu_model


def test_outside_an_image_the_distribution_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COREPOINT_IMAGE", raising=False)
    assert environment.capture().image.startswith("corepoint ")


def _java(home: Path, program: str) -> None:
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_text(f"#!/bin/sh\n{program}\n")
    (home / "bin" / "java").chmod(0o755)


def test_java_is_read_from_its_release_file_without_starting_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _java(tmp_path, "exit 1")
    (tmp_path / "release").write_text('IMPLEMENTOR="x"\nJAVA_VERSION="17.0.99"\n')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert environment.java_version() == "17.0.99"


def test_java_without_a_release_file_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _java(tmp_path, "echo 'openjdk version \"21.0.1\" 2023' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert environment.java_version() == "21.0.1"


def test_no_java_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.java_version() is None


def test_children_see_an_allow_list_of_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_SECRET_ACCESS_KEY", "PREFECT_API_KEY", "COREPOINT_TOKEN", "LD_PRELOAD", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("SPARK_HOME", "/opt/spark")
    monkeypatch.setenv("PYTHONPATH", "relative")
    seen = scrubbed_environment()
    allowed = {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "JAVA_HOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
    made = {"PYTHONPATH", "JE_ARROW_MALLOC_CONF", *THREAD_VARIABLES}
    assert not [name for name in seen if name not in allowed | made and not name.startswith(("SPARK", "PYSPARK"))]
    assert seen["SPARK_HOME"] == "/opt/spark"
    paths = seen["PYTHONPATH"].split(os.pathsep)
    assert paths == [str(Path(workers.__file__).resolve().parents[1]), str(Path("relative").resolve())]

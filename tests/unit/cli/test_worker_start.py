"""`corepoint worker start` says what is missing before anything starts, and where it cannot get in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.part import free_ports
from tests.user import COREPOINT

INTERNAL = {"COREPOINT_INTERNAL_URL": "http://127.0.0.1:1"}
PREFECT = {"PREFECT_API_URL": "http://127.0.0.1:1/api"}
S3 = {"COREPOINT_OBJECTS__KIND": "s3", "COREPOINT_OBJECTS__ENDPOINT": "http://127.0.0.1:1"}


def refused(tmp_path: Path, *options: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [*COREPOINT, "worker", "start", *options],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "COREPOINT_SCRATCH": str(tmp_path / "scratch"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("environment", "missing", "hint"),
    [
        ({}, "--server-internal", "COREPOINT_INTERNAL_URL"),
        (INTERNAL, "--prefect", "PREFECT_API_URL"),
        ({**INTERNAL, **PREFECT}, "COREPOINT_OBJECTS__KIND", "s3"),
        ({**INTERNAL, **PREFECT, **S3}, "credentials of the object store", "COREPOINT_OBJECTS__ACCESS_KEY"),
        ({**INTERNAL, **PREFECT, "COREPOINT_OBJECTS__KIND": "folder"}, "COREPOINT_OBJECTS__ROOT", "share"),
    ],
)
def test_what_is_missing_is_named_with_where_to_set_it(
    tmp_path: Path, environment: dict[str, str], missing: str, hint: str
) -> None:
    code, said = refused(tmp_path, "--queue", "default", **environment)
    first, second = said.splitlines()
    assert code == 2
    assert missing in first
    assert hint in second


def test_a_queue_has_to_be_named_and_to_exist(tmp_path: Path) -> None:
    assert refused(tmp_path)[0] == 2
    code, said = refused(tmp_path, "--queue", "fast")
    assert code == 2
    assert "high-memory" in said


def test_an_address_where_nobody_answers_ends_it_with_a_hint(tmp_path: Path) -> None:
    [port] = free_ports(1)
    code, said = refused(
        tmp_path, "--queue", "default", "--server-internal", f"http://127.0.0.1:{port}", "--prefect", "http://127.0.0.1:1/api",
        COREPOINT_OBJECTS__KIND="folder", COREPOINT_OBJECTS__ROOT=str(tmp_path / "objects"),
    )  # fmt: skip
    assert code == 1
    assert f"error: cannot reach the internal API at http://127.0.0.1:{port}" in said
    assert "hint: give its address" in said

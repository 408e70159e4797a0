"""`corepoint demo`: the main job on real data, with the commands a user would type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.embedded.place import STATE_FILE

EXPERIMENT = "real-cities"
DEFAULT_DATA_DIR = Path(".corepoint")  # beside what the demo writes, so that removing it removes everything
START_SECONDS = 180.0
STOP_SECONDS = 60.0
LOOK_SECONDS = 0.1
OK = 0
PARTLY_FAILED = 5  # without Java, Spark's trials are skipped; that is no failure of the demo


def main(data_dir: Path | None = None, keep: bool = False) -> int:
    """Bring corepoint up, run the demo's experiment, show what it found, stop what was started."""
    data_dir = (data_dir or DEFAULT_DATA_DIR).resolve()
    clock = _Clock()
    with _corepoint(data_dir, clock) as server:
        if server is None:
            _say(f"corepoint did not start; see {data_dir / 'logs'}")
            return 1
        status = _experiment(server, data_dir, clock)
        if keep and status == OK:
            _say("corepoint stays up until Ctrl-C")
            _until_interrupted()
    clock.note("stopped")
    clock.table()
    return status


def _experiment(server: str, data_dir: Path, clock: _Clock) -> int:
    if httpx.get(f"{server}/v1/experiments/{EXPERIMENT}", timeout=10).is_success:
        _say(f"experiment {EXPERIMENT} exists: running it again reuses what is measured")
        status = _corepoint_command(server, "run", EXPERIMENT, "--wait")
    else:
        status = _corepoint_command(server, "create", "-f", os.fspath(_document()), "--wait")
    clock.note("experiment")
    run_id = httpx.get(f"{server}/v1/experiments/{EXPERIMENT}", timeout=10).json()["latest_run_id"]
    if status not in {OK, PARTLY_FAILED}:
        return status
    _corepoint_command(server, "compare", run_id)
    report = data_dir / f"{EXPERIMENT}-report.html"
    exported = _corepoint_command(server, "export", run_id, "--format", "html", "-o", os.fspath(report))
    clock.note("comparison and report")
    if exported != OK:
        return exported
    places = json.loads((data_dir / STATE_FILE).read_text())["ports"]
    _say(f"\nreport    {report}")
    _say(f"API docs  {server}/docs")
    _say(f"Prefect   http://127.0.0.1:{places['prefect']}")
    _say(f"MLflow    http://127.0.0.1:{places['mlflow']}\n")
    return status


@contextmanager
def _corepoint(data_dir: Path, clock: _Clock) -> Iterator[str | None]:
    """`corepoint up` for as long as the context lasts; None if it did not start."""
    state = data_dir / STATE_FILE
    state.unlink(missing_ok=True)
    _say(f"$ corepoint up --data-dir {data_dir}")
    process = subprocess.Popen([*_COREPOINT, "up", "--data-dir", os.fspath(data_dir), "--any-ports"])
    try:
        server = _announced(process, state)
        clock.note("start")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _announced(process: subprocess.Popen[bytes], state: Path) -> str | None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if state.exists():
            return str(json.loads(state.read_text())["server"])
        time.sleep(LOOK_SECONDS)
    return None


_COREPOINT = (sys.executable, "-m", "app.cli.main")


def _corepoint_command(server: str, *arguments: str) -> int:
    _say(f"\n$ corepoint {' '.join(arguments)}")
    environment = {**os.environ, "COREPOINT_SERVER": server}
    return subprocess.run([*_COREPOINT, *arguments], env=environment, check=False).returncode


def _document() -> Path:
    """The demo's experiment: beside this module in a wheel, under docs in a checkout."""
    packaged = Path(__file__).with_name("demo.yaml")
    return packaged if packaged.exists() else Path(__file__).parents[2] / "docs" / "examples" / f"{EXPERIMENT}.yaml"


def _until_interrupted() -> None:
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        return


class _Clock:
    """Wall-clock seconds of each step."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._steps: list[tuple[str, float]] = []

    def note(self, step: str) -> None:
        now = time.monotonic()
        self._steps.append((step, now - self._last))
        self._last = now

    def table(self) -> None:
        for step, seconds in self._steps:
            _say(f"{step:<24}{seconds:7.1f} s")
        _say(f"{'total':<24}{sum(seconds for _, seconds in self._steps):7.1f} s")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()

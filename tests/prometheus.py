"""A real Prometheus for tests: Debian's program on a free port, or one that runs already; and panels without data."""

from __future__ import annotations

import math
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from hack.dashboards import PanelQuery

_START_SECONDS = 30.0


@dataclass(frozen=True)
class Prometheus:
    """One that answers at `url`, wherever it runs."""

    url: str

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The instant vector of `expr` now: `metric` (labels) and `value` (time, text) of each series."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expr}, timeout=10)
        assert answer.status_code == 200, f"{expr}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def values(self, expr: str) -> list[float]:
        """What is there to be drawn: NaN is not."""
        found = (float(series["value"][1]) for series in self.query(expr))
        return [value for value in found if not math.isnan(value)]

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


def unanswered(prometheus: Prometheus, queries: Sequence[PanelQuery]) -> list[str]:
    """Panels whose query returns no data, with the query."""
    return [
        f"{query.dashboard} / {query.title}: {query.expr}" for query in queries if not prometheus.values(query.expr)
    ]


@contextmanager
def prometheus_server(
    folder: Path, jobs: Mapping[str, Sequence[str]], scrape_seconds: float = 1.0
) -> Iterator[Prometheus]:
    """Scrapes the targets (`host:port`) of each job as often as said, while the context lasts."""
    program = shutil.which("prometheus")
    assert program is not None, "Prometheus is needed (package prometheus)"
    port = _free_port()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(_configuration(jobs, scrape_seconds)), encoding="utf-8")
    command = [
        program,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            made = Prometheus(f"http://127.0.0.1:{port}")
            _wait(made, process, folder / "output")
            yield made
        finally:
            process.terminate()
            process.wait(20)


def _configuration(jobs: Mapping[str, Sequence[str]], scrape_seconds: float) -> dict[str, Any]:
    interval = f"{int(scrape_seconds * 1000)}ms"
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(targets)}]} for job, targets in jobs.items()
        ],
    }


def _wait(prometheus: Prometheus, process: subprocess.Popen[bytes], output: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while not prometheus.ready():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < until, output.read_text()
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

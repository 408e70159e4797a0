"""What a user does with a corepoint, by command line and HTTP, and what a test may see of it beside that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from app.contracts.objects import ObjectStore
from app.contracts.store import StoreConfig
from app.gateways.objects import open_store

COREPOINT = (sys.executable, "-m", "app.cli.main")
T = TypeVar("T")


class User:
    """`folder` holds the installation, `store` its objects; `environment` is what the command line is given."""

    def __init__(self, folder: Path, environment: dict[str, str], store: StoreConfig, key: str | None = None) -> None:
        self.folder = folder
        self.environment = environment
        self.store = store
        self.key = key
        self.server = ""

    def command(self, *arguments: str, code: int = 0, stdin: str | None = None) -> str:
        """Standard output of `corepoint ARGUMENTS`, which must end with `code`."""
        key = {"COREPOINT_API_KEY": self.key} if self.key else {}
        done = subprocess.run(
            [*COREPOINT, *arguments],
            env={**self.environment, **key, "COREPOINT_SERVER": self.server, "NO_COLOR": "1"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def create(self, document: str, *arguments: str, code: int = 0) -> str:
        return self.command("create", "-f", "-", *arguments, stdin=document, code=code)

    def get(self, path: str) -> Any:
        response = httpx.get(f"{self.server}{path}", timeout=20, headers=self.headers)
        response.raise_for_status()
        return response.json()

    def post(self, path: str, body: Any = None, *, key: str | None = None, server: str | None = None) -> httpx.Response:
        """Whatever the answer is; `key`: the Idempotency-Key."""
        headers = {**self.headers, **({"Idempotency-Key": key} if key else {})}
        return httpx.post(f"{server or self.server}{path}", json=body, timeout=30, headers=headers)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def latest_run(self, experiment: str) -> str:
        return str(self.get(f"/v1/experiments/{experiment}")["latest_run_id"])

    def state(self, run_id: str) -> str:
        return str(self.get(f"/v1/runs/{run_id}")["state"])

    def ended(self, run_id: str, seconds: float) -> str:
        """The state in which the run ends, within `seconds`."""
        self.wait(lambda: self.get(f"/v1/runs/{run_id}")["finished_at"], seconds, f"the run {run_id} to end")
        return self.state(run_id)

    def events(self, run_id: str, kind: str) -> list[dict[str, Any]]:
        found = self.get(f"/v1/runs/{run_id}/events?limit=100")["items"]
        return [event for event in found if event["kind"] == kind]

    @cached_property
    def objects(self) -> ObjectStore:
        return open_store(self.store)

    def rounds(self, run_id: str) -> dict[int, dict[str, Any]]:
        """The saved rounds of a run's only batch, by number."""
        store = self.objects
        keys = sorted(key for key in store.keys(f"runs/{run_id}/batches/") if "/rounds/" in key)
        return {found["number"]: found for found in (json.loads(store.get(key)) for key in keys)}

    def processes(self, *words: str) -> list[psutil.Process]:
        """Our processes whose command line holds all `words`."""
        mine = os.fspath(self.folder)
        found = []
        for process in psutil.process_iter():
            try:
                line, environment = " ".join(process.cmdline()), process.environ()
            except psutil.Error:
                continue
            belongs = mine in line or mine in environment.get("COREPOINT_SCRATCH", "")
            if belongs and all(word in line for word in words):
                found.append(process)
        return found

    def spares(self) -> list[psutil.Process]:
        """The spare interpreters of workers."""
        engines = {process.pid: process for process in self.processes("workers.warm.engine")}
        return [process for process in engines.values() if process.ppid() not in engines]

    def flow_runs(self) -> list[psutil.Process]:
        """The processes of flow runs: forked by a worker's spare interpreter, or interpreters of their own."""
        spares = {process.pid for process in self.spares()}
        forked = [process for process in self.processes("workers.warm.engine") if process.ppid() in spares]
        return [*forked, *self.processes("prefect.engine")]

    def children_of_samples(self) -> list[psutil.Process]:
        """Children that measure now. The fork server of a spare forks one for each flow run, and that forks them."""
        spares = {process.pid: process for process in self.spares()}
        roots = [*spares.values(), *self.processes("prefect.engine")]
        below = {child.pid: child for root in roots for child in _below(root, "workers.measure.forkserver")}
        first = {child.pid for child in below.values() if child.ppid() in spares}
        return [child for child in below.values() if child.ppid() in below.keys() - first]

    def wait(self, condition: Callable[[], T], seconds: float, what: str) -> T:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"waited {seconds} s for {what}")


def _below(root: psutil.Process, word: str) -> list[psutil.Process]:
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in root.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if word in " ".join(child.cmdline()):
                    found.append(child)
    return found

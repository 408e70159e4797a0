"""Adapters that do on request what real implementations do by accident. They act on more rows than a warm-up has."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contracts.algorithm import AlgorithmInfo, Capabilities, Prediction, Workload
from workers.algorithms.adapter import Adapter, Clustering, Parameters, Resources
from workers.measure.fitting import WARM_UP_ROWS


class ActorParameters(Parameters):
    act: str = "cluster"
    journal: str = ""
    megabytes: int = 0


def information(name: str, *, session: bool) -> AlgorithmInfo:
    return AlgorithmInfo(
        name=name,
        version="1",
        title=name,
        description="",
        library="",
        problem_parameters=[],
        parameters_schema={},
        capabilities=Capabilities(exact=False, parallel=False, distributed=False, session=session, max_dimensions=3),
    )


class Actor(Adapter[ActorParameters]):
    """Puts all points into one cluster, after it has played its act."""

    info = information("actor", session=False)
    parameters = ActorParameters

    def predict(self, parameters: dict[str, Any], workload: Workload) -> Prediction:
        return Prediction(peak_bytes=0, fit_seconds=0)

    def fit(self, points: NDArray[np.float64], parameters: dict[str, Any], resources: Resources) -> Clustering:
        n = len(points)
        details: dict[str, Any] = {}
        labels = np.zeros(n, dtype=np.int64)
        if n > WARM_UP_ROWS or self.info.capabilities.session:
            note(parameters, threads=resources.threads)
            details = getattr(self, parameters["act"])(parameters, labels) or {}
        return Clustering(labels, np.ones(n, dtype=bool), details)

    def cluster(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        pass

    def crash(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        os.write(1, b"last words\n")
        os.kill(os.getpid(), signal.SIGSEGV)

    def crash_in_second_fit(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        if len(fits_of(parameters)) > 1:
            self.crash(parameters, labels)

    def leave(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        os._exit(3)

    def fall(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        raise ValueError("no such neighbourhood: \0\udc80")

    def break_contract(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        labels[0] = -7

    def be_killed(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def be_killed_once(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        if len(fits_of(parameters)) == 1:
            self.be_killed(parameters, labels)

    def orphan_the_nursery(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        if len(fits_of(parameters)) == 1:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)

    def vary(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        labels[-len(fits_of(parameters)) :] = 1

    def tell_environment(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> dict[str, Any]:
        return {"environment": dict(os.environ)}

    def allocate(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        np.ones(parameters["megabytes"] * 1024**2, dtype=np.uint8).sum()

    def allocate_elsewhere(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        size = parameters["megabytes"] * 1024**2
        subprocess.run([sys.executable, "-c", f"import time; a = b'x' * {size}; time.sleep(0.6)"], check=True)

    def forge(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        """Finds its channel among its files, as hostile code would, and asks for more and more time."""
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as channel:
                for _ in range(100):
                    channel.send(b'{"kind": "fitted"}')

    def sleep_with_family(self, parameters: dict[str, Any], labels: NDArray[np.int64]) -> None:
        """A child, and an orphan in a session of its own."""
        own = subprocess.Popen(["sleep", "60"])
        other = subprocess.run(
            ["sh", "-c", "setsid sleep 60 >/dev/null 2>&1 & echo $!"], check=True, capture_output=True, text=True
        )
        note(parameters, family=[own.pid, int(other.stdout)])
        time.sleep(60)


class SessionActor(Actor):
    info = information("session-actor", session=True)

    def open(self, resources: Resources) -> None:
        time.sleep(0.2)


class Absent(Actor):
    info = information("absent", session=False)

    def missing(self) -> str | None:
        return "java is not installed here"


class Broken(Actor):
    info = information("broken", session=False)

    def missing(self) -> str | None:
        raise RuntimeError("defect")


def note(parameters: dict[str, Any], **more: Any) -> None:
    if parameters.get("journal"):
        entry = {"pid": os.getpid(), "session": os.getsid(0), "act": parameters["act"], **more}
        with Path(parameters["journal"]).open("a") as journal:
            journal.write(json.dumps(entry) + "\n")


def fits_of(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """What children wrote down of fits with these parameters, in order."""
    entries = [json.loads(line) for line in Path(parameters["journal"]).read_text().splitlines()]
    return [entry for entry in entries if entry["act"] == parameters["act"] and "threads" in entry]


ADAPTERS: dict[str, Adapter[Any]] = {
    adapter.info.name: adapter for adapter in (Actor(), SessionActor(), Absent(), Broken())
}

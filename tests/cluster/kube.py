"""kubectl and helm for the tests: a few words each, bounded in time, with their output in the failure."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.part import free_ports

PROGRAMS = Path(os.environ.get("CLUSTER_HOME", Path.home() / ".cache" / "corepoint-cluster")) / "bin"
T = TypeVar("T")


def program(name: str) -> str:
    """The cluster's own program where hack/cluster made one, else the one on PATH."""
    own = PROGRAMS / name
    return str(own) if own.exists() else name


def wait_for(condition: Callable[[], T], seconds: float, what: str, pause: float = 1.0) -> T:
    """What `condition` answers once it is true. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}")
        time.sleep(pause)


class Kube:
    """One namespace of a cluster."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True, seconds: float = 60) -> str:
        return _run([program("kubectl"), "-n", self.namespace, *arguments], stdin, check=check, seconds=seconds)

    def helm(self, *arguments: str, check: bool = True, seconds: float = 600) -> str:
        return _run([program("helm"), "-n", self.namespace, *arguments], None, check=check, seconds=seconds)

    def apply(self, manifest: str) -> None:
        self.run("apply", "-f", "-", stdin=manifest)

    def objects(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        found = self.run("get", kind, "-o", "json", *(["-l", selector] if selector else []))
        items: list[dict[str, Any]] = json.loads(found)["items"]
        return items

    def object(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("get", kind, name, "-o", "json"))
        return found

    def raw(self, path: str) -> Any:
        return json.loads(self.run("get", "--raw", path))

    def secret(self, name: str, key: str) -> str:
        import base64

        return base64.b64decode(self.object("secret", name)["data"][key]).decode()

    def ready_pods(self, selector: str) -> list[dict[str, Any]]:
        return [pod for pod in self.objects("pods", selector) if is_ready(pod)]

    @contextmanager
    def forwarded(self, target: str, port: int) -> Iterator[str]:
        """The address on this machine that leads to `target`, for example svc/corepoint-api."""
        local = free_ports(1)[0]
        command = [program("kubectl"), "-n", self.namespace, "port-forward", target, f"{local}:{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert "Forwarding" in line, f"{' '.join(command)}: {line}"
                yield f"http://127.0.0.1:{local}"
            finally:
                process.terminate()
                process.wait(10)


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _run(command: list[str], stdin: str | None, *, check: bool, seconds: float) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout

"""The release under test: installed, upgraded and reached as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from pydantic import SecretStr

from app.contracts.objects import ObjectStore
from app.contracts.store import StoreConfig
from app.gateways.objects import open_store
from tests.cluster.kube import Kube, is_ready, wait_for

NAMESPACE = "corepoint"
RELEASE = "corepoint"
CHART = Path(__file__).parents[2] / "charts" / "corepoint"
VALUES = Path(__file__).parent / "values.yaml"
READY_SECONDS = 420
TERMINAL = frozenset({"succeeded", "partial", "failed", "cancelled"})


class Installation:
    def __init__(self, kube: Kube) -> None:
        self.kube = kube
        self.api = ""
        self.admin_key = ""

    def prepare_namespace(self) -> None:
        """Empty, and held to the restricted profile by the API server itself."""
        self.kube.helm("uninstall", RELEASE, "--ignore-not-found", "--wait", check=False)
        self.kube.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait", seconds=180)
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
        self.kube.apply(yaml.safe_dump(namespace))

    def install(self) -> None:
        self.kube.helm("install", RELEASE, str(CHART), "-f", str(CHART / "values-laptop.yaml"), "-f", str(VALUES))

    def upgrade(self, *settings: str) -> None:
        pairs = [argument for setting in settings for argument in ("--set", setting)]
        self.kube.helm(
            "upgrade", RELEASE, str(CHART), "-f", str(CHART / "values-laptop.yaml"), "-f", str(VALUES), *pairs
        )

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> list[dict[str, Any]]:
        """All pods that are not done; they are ready, as many as their owners want."""
        return wait_for(self._all_ready, seconds, "all pods to be ready", pause=2.0)

    @contextmanager
    def reachable(self) -> Iterator[None]:
        """`api` leads to the public API of the release while the context lasts."""
        self.wait_until_ready()
        self.admin_key = self.kube.secret("corepoint-secrets", "admin-key")
        with self.kube.forwarded("svc/corepoint-api", 8787) as address:
            self.api = address
            yield

    def get(self, path: str, **query: str | int) -> Any:
        return self._answer(lambda client: client.get(path, params=query))

    def post(self, path: str, body: Any = None) -> Any:
        return self._answer(lambda client: client.post(path, json=body))

    def command(self, *arguments: str, stdin: str | None = None, code: int = 0) -> str:
        """Standard output of the command line, used from outside the cluster."""
        environment = {**os.environ, "COREPOINT_SERVER": self.api, "COREPOINT_API_KEY": self.admin_key, "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "app.cli.main", *arguments],
            env=environment, input=stdin, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def create(self, document: str, *arguments: str) -> str:
        return self.command("create", "-f", "-", *arguments, stdin=document)

    def latest_run(self, experiment: str) -> str:
        return str(self.get(f"/v1/experiments/{experiment}")["latest_run_id"])

    def start_run(self, experiment: str) -> str:
        return str(self.post(f"/v1/experiments/{experiment}/runs", {})["id"])

    def ended(self, run_id: str, seconds: float) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.get(f"/v1/runs/{run_id}")
            return found if found["state"] in TERMINAL else None

        return wait_for(look, seconds, f"run {run_id} to end")

    def items(self, path: str) -> list[dict[str, Any]]:
        """All pages of a list."""
        found: list[dict[str, Any]] = []
        query: dict[str, str | int] = {"limit": 100}
        while True:
            page = self.get(path, **query)
            found += page["items"]
            if not page.get("next_page_token"):
                return found
            query["page_token"] = page["next_page_token"]

    def events(self, run_id: str, kind: str | None = None) -> list[dict[str, Any]]:
        return [event for event in self.items(f"/v1/runs/{run_id}/events") if kind in (None, event["kind"])]

    def worker_pods(self, queue: str) -> list[dict[str, Any]]:
        return self.kube.ready_pods(f"app.kubernetes.io/component=worker,corepoint.io/queue={queue}")

    def _answer(self, ask: Callable[[httpx.Client], httpx.Response]) -> Any:
        """A port-forward may break while pods change, and a busy API says 503: the test asks again, as clients do."""
        headers = {"Authorization": f"Bearer {self.admin_key}"}
        for last in (False, False, True):
            try:
                with httpx.Client(base_url=self.api, headers=headers, timeout=30) as client:
                    response = ask(client)
                if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and not last:
                    time.sleep(2.0)
                    continue
                assert response.is_success, f"{response.request.url}: {response.status_code} {response.text}"
                return response.json()
            except httpx.TransportError:
                if last:
                    raise
        raise AssertionError("the loop ends by returning or raising")

    def _all_ready(self) -> list[dict[str, Any]]:
        pods = self.kube.objects("pods", f"app.kubernetes.io/instance={RELEASE}")
        open_pods = [pod for pod in pods if pod["status"].get("phase") != "Succeeded"]
        failed = [pod["metadata"]["name"] for pod in open_pods if pod["status"].get("phase") == "Failed"]
        assert not failed, f"failed: {failed}"
        owners = self.kube.objects("deployments,statefulsets", f"app.kubernetes.io/instance={RELEASE}")
        wanted = all(owner["spec"].get("replicas", 1) == owner["status"].get("readyReplicas", 0) for owner in owners)
        return open_pods if owners and wanted and all(is_ready(pod) for pod in open_pods) else []


@contextmanager
def object_store(installation: Installation) -> Iterator[ObjectStore]:
    """The release's MinIO, from outside the cluster."""
    with installation.kube.forwarded("svc/corepoint-minio", 9000) as address:
        yield open_store(
            StoreConfig(
                kind="s3",
                endpoint=address,
                access_key=installation.kube.secret("corepoint-secrets", "minio-access-key"),
                secret_key=SecretStr(installation.kube.secret("corepoint-secrets", "minio-secret-key")),
            )
        )

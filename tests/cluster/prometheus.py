"""A Prometheus in a namespace of its own, as a monitoring stack would have it, scraping the release."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.kube import Kube, is_ready, wait_for

MANIFEST = Path(__file__).parent / "prometheus.yaml"
NAMESPACE = "monitoring"


class Prometheus:
    def __init__(self, address: str) -> None:
        self._address = address

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query that have a value."""
        answer = self._get("/api/v1/query", query=expression)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return [series for series in found if series["value"][1] != "NaN"]

    def targets(self) -> dict[str, str]:
        """Health by job, once none of them is unknown."""

        def known() -> dict[str, str] | None:
            active = self._get("/api/v1/targets")["data"]["activeTargets"]
            health = {target["labels"]["job"]: target["health"] for target in active}
            return health if health and "unknown" not in health.values() else None

        return wait_for(known, 60, "every target to be scraped")

    def scrapes(self) -> int:
        """Of the target that was scraped least."""
        counts = [float(series["value"][1]) for series in self.query("min(count_over_time(up[5m]))")]
        return int(counts[0]) if counts else 0

    def _get(self, path: str, **query: str) -> Any:
        response = httpx.get(f"{self._address}{path}", params=query, timeout=20)
        response.raise_for_status()
        return response.json()


@contextmanager
def running_prometheus() -> Iterator[Prometheus]:
    kube = Kube(NAMESPACE)
    kube.run("delete", "-f", str(MANIFEST), "--ignore-not-found", "--wait", seconds=120)
    kube.run("apply", "-f", str(MANIFEST))
    try:
        wait_for(lambda: any(is_ready(pod) for pod in kube.objects("pods")), 90, "Prometheus to be ready")
        with kube.forwarded("pod/prometheus", 9090) as address:
            yield Prometheus(address)
    finally:
        kube.run("delete", "-f", str(MANIFEST), "--ignore-not-found", "--wait=false")

"""SparkApplications that nobody deleted: ended ones go by age, against an API server that speaks HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from kubernetes.client import ApiClient, Configuration

from app.db.engine import Database
from app.dispatcher import retention
from app.dispatcher.context import Context
from app.gateways.kubernetes import KubernetesGateway
from app.gateways.object_folder import FolderStore
from app.gateways.prefect import PrefectGateway
from app.gateways.webhooks import WebhookGateway
from app.settings import Settings

SETTINGS = Settings.model_validate({"kubernetes": {"namespace": "corepoint"}, "retention": {"applications_days": 7}})


def application(name: str, state: str, days: float) -> dict[str, Any]:
    created = datetime.now(UTC) - timedelta(days=days)
    labels = {"corepoint.io/batch": str(uuid4()), "corepoint.io/attempt": "1"}
    return {
        "metadata": {"name": name, "labels": labels, "creationTimestamp": f"{created:%Y-%m-%dT%H:%M:%SZ}"},
        "status": {"applicationState": {"state": state}},
    }


class Cluster:
    def __init__(self, *applications: dict[str, Any]) -> None:
        self.applications = list(applications)
        self.url = ""

    @property
    def names(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.applications]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    found = Cluster(
        application("old", "COMPLETED", 8),
        application("old-and-failed", "FAILED", 8),
        application("old-but-running", "RUNNING", 8),
        application("young", "COMPLETED", 6),
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"items": found.applications})

        def do_DELETE(self) -> None:
            name = urlsplit(self.path).path.rsplit("/", 1)[-1]
            found.applications = [one for one in found.applications if one["metadata"]["name"] != name]
            self._answer({"kind": "Status", "status": "Success"})

        def _answer(self, body: Any) -> None:
            encoded = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()


async def test_ended_applications_go_by_age_and_those_that_go_on_stay(cluster: Cluster, tmp_path: Any) -> None:
    configuration = Configuration()
    configuration.host = cluster.url
    database = Database(SETTINGS.database)
    prefect, webhooks = PrefectGateway(SETTINGS.prefect), WebhookGateway(SETTINGS.notifications)
    with ApiClient(configuration) as client:
        context = Context(
            settings=SETTINGS,
            database=database,
            objects=FolderStore(tmp_path, "corepoint", frozenset()),
            prefect=prefect,
            mlflow=None,
            webhooks=webhooks,
            catalogue={},
            kubernetes=KubernetesGateway(SETTINGS.kubernetes, client),
        )
        assert await retention.applications(context) == 2
        assert cluster.names == ["old-but-running", "young"]
        assert await retention.applications(context) == 0
    await database.close()
    await prefect.aclose()
    await webhooks.aclose()

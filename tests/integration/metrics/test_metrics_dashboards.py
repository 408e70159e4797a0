"""Dashboards and alerts: every panel's query returns data of a real Prometheus, every alert fires when it should."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from metrics_rows import Rows
from metrics_served import free_port

from app.contracts.states import BatchState, QueueName
from app.db.engine import Database
from app.db.models import WorkKind
from app.dispatcher.pulse import Pulse, pulse_app
from app.gateways.object_folder import FolderStore
from app.main import create_app
from app.metrics.latest import Latest
from app.metrics.plain import plain_app
from app.processes.serving import served
from app.resources import Resources
from app.settings import Settings
from app.ui.report.render import render_report
from hack.dashboards import panel_queries
from tests.prometheus import prometheus_server, unanswered
from workers.algorithms.registry import catalogue

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "corepoint"
RULES = CHART / "files" / "prometheus-rules.yaml"
HOST = "127.0.0.1"
RATE_INTERVAL = "10s"
PATIENCE_SECONDS = 40.0


class NoLogs:
    async def run_logs(self, flow_run_ids: list[str], limit: int) -> list[str] | None:
        return None


@asynccontextmanager
async def installation(database: Database, folder: Path) -> AsyncIterator[tuple[str, dict[str, list[str]]]]:
    """The API's URL, and what there is to scrape: API, metrics, and a dispatcher whose loop has turned once."""
    settings = Settings.model_validate({"api": {"authentication": False}})
    resources = Resources(
        settings=settings,
        database=database,
        objects=FolderStore(folder / "objects", "corepoint", frozenset()),
        catalogue=catalogue(),
        logs=NoLogs(),
        render_report=render_report,
    )
    latest = Latest(database, settings.queues, age_seconds=0.5, limit_seconds=5)
    pulse = Pulse()
    pulse.beat("relay")
    api, metrics, dispatcher = free_port(), free_port(), free_port()
    async with (
        served(create_app(resources), HOST, api, 1.0),
        # Two workers are ready: here is no Kubernetes to count them in, a cluster's test does.
        served(plain_app(latest, settings.queues, lambda: {"default": 2}), HOST, metrics, 1.0),
        served(pulse_app(pulse), HOST, dispatcher, 1.0),
    ):
        ports = {"api": api, "metrics": metrics, "dispatcher": dispatcher}
        yield f"http://{HOST}:{api}", {job: [f"{HOST}:{port}"] for job, port in ports.items()}


async def use(api: httpx.AsyncClient) -> None:
    await api.get("/v1/experiments")
    await api.get("/v1/experiments/none")
    await api.get("/nowhere")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_every_panel_shows_data(database: Database, rows: Rows, tmp_path: Path) -> None:
    await rows.batches(5, BatchState.SUBMITTED, ago=30)
    await rows.batches(2, BatchState.RUNNING, QueueName.SPARK)
    await rows.work(WorkKind.BATCH, due_in=-5, attempts=1)
    queries = panel_queries(RATE_INTERVAL)
    async with installation(database, tmp_path) as (url, jobs), httpx.AsyncClient(base_url=url) as api:
        with prometheus_server(tmp_path, jobs) as prometheus:
            missing = ["all of them"]
            async with asyncio.timeout(PATIENCE_SECONDS):
                while missing:
                    await use(api)
                    await asyncio.sleep(1)
                    missing = await asyncio.to_thread(unanswered, prometheus, queries)
            demand = await asyncio.to_thread(prometheus.query, "corepoint_queue_demand")
    assert len(queries) > 15
    assert {series["metric"]["queue"]: series["value"][1] for series in demand} == {
        "default": "5",
        "spark": "2",
        "high-memory": "0",
        "priority": "0",
    }


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "hack" / "dashboards.py"), "--check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_dashboards_of_the_chart_are_those_of_the_source(tmp_path: Path) -> None:
    answer = check()
    assert (answer.stdout, answer.stderr, answer.returncode) == ("", "", 0)
    shutil.copytree(CHART / "dashboards", tmp_path / "dashboards")
    (tmp_path / "dashboards" / "queues.json").write_text("{}", encoding="utf-8")
    answer = check("--folder", str(tmp_path / "dashboards"))
    assert (answer.stdout.split()[0], answer.returncode) == ("queues.json", 1)


@pytest.mark.parametrize("file", sorted((CHART / "dashboards").glob("*.json")), ids=lambda file: file.stem)
def test_a_dashboard_is_as_grafana_wants_it(file: Path) -> None:
    dashboard = json.loads(file.read_text(encoding="utf-8"))
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["description"]
    places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in panels]
    assert len(set(places)) == len(places), "panels lie upon each other"


def rules() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = [line.lstrip("# ").lower() for line in (ROOT / page).read_text(encoding="utf-8").splitlines()]
    assert anchor == rule["alert"].lower()
    assert anchor in headings


def test_alerts_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    """promtool plays the series of alerts.yaml, which lies beside this test, against the rules."""
    program = shutil.which("promtool")
    assert program is not None, "promtool is needed (package prometheus)"
    cases = yaml.safe_load((Path(__file__).parent / "alerts.yaml").read_text(encoding="utf-8"))
    tested = {case["alertname"] for test in cases["tests"] for case in test["alert_rule_test"]}
    assert tested == {rule["alert"] for rule in rules()}
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump({**cases, "rule_files": [str(RULES)]}), encoding="utf-8")
    answer = subprocess.run(
        [program, "test", "rules", str(tmp_path / "alerts.yaml")], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr

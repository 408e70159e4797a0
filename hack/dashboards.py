"""Grafana's dashboards, written as JSON into the chart; `--check` names the files that differ.

A panel is a title, queries and a unit; everything else is Grafana's way of writing that down (schema of Grafana 11).
`panel_queries` lists every query, for a test that runs each against a real Prometheus.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "charts" / "corepoint" / "dashboards"
_SCHEMA = 39  # Grafana 11.0; later ones read it and migrate
_COLUMNS, _HEIGHT = 24, 8
_HERE = 'namespace=~"$namespace"'
_ANSWERED = f'{_HERE}, route!~"/livez|/readyz|/metrics"'  # probes and scrapes would drown what people ask
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Query:
    """`legend` names the series by its labels, as Grafana does: `{{queue}}`."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """`warn_above` draws a line at a value of `unit` (Grafana's name of it)."""

    title: str
    meaning: str
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int = 12
    kind: str = "timeseries"
    warn_above: float | None = None


@dataclass(frozen=True)
class Dashboard:
    """`known_by`: a metric whose namespaces are offered to choose from."""

    name: str
    title: str
    known_by: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class PanelQuery:
    """What the panel `title` of a dashboard asks Prometheus, Grafana's variables filled in."""

    dashboard: str
    title: str
    expr: str


def panel_queries(rate_interval: str = "1m", namespace: str = ".*") -> list[PanelQuery]:
    """`rate_interval` is to span some scrapes; `namespace` is a regular expression."""
    return [
        PanelQuery(
            dashboard.title,
            panel.title,
            query.expr.replace("$__rate_interval", rate_interval).replace("$namespace", namespace),
        )
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
        for query in panel.queries
    ]


def _latest(metric: str, label: str) -> str:
    """Of a gauge that every replica of the metrics component reports alike."""
    return f"max by ({label}) ({metric}{{{_HERE}}})"


def _rate(metric: str, by: str = "", where: str = "") -> str:
    selector = f"{_ANSWERED}, {where}" if where else _ANSWERED
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({metric}{{{selector}}}[$__rate_interval]))"


def _by_queue(title: str, metric: str, meaning: str, unit: str = "short", warn_above: float | None = None) -> Panel:
    return Panel(title, meaning, (Query(_latest(metric, "queue"), "{{queue}}"),), unit, warn_above=warn_above)


_ANSWERS = "corepoint_http_requests_total"
_FAILED = _rate(_ANSWERS, where='status=~"5.."')

QUEUES = Dashboard(
    "queues",
    "corepoint: Queues",
    "corepoint_queue_demand",
    (
        Panel(
            "Workers missing",
            "Workers that the demand would keep busy and that are not ready. Above zero while a queue scales up; for "
            "longer, it is at its maximum or the cluster has no room.",
            (
                Query(
                    f"clamp_min({_latest('corepoint_queue_workers_wanted', 'queue')} - "
                    f"{_latest('corepoint_queue_workers_ready', 'queue')}, 0)",
                    "{{queue}}",
                ),
            ),
            kind="stat",
        ),
        Panel(
            "Open runs",
            "Runs that have not ended, by state.",
            (Query(_latest("corepoint_runs_open", "state"), "{{state}}"),),
            kind="stat",
            width=8,
        ),
        Panel(
            "Database readable",
            "1 if the queues can be read. At 0 the other panels are empty: autoscalers keep what there is.",
            (Query(f"min(corepoint_database_readable{{{_HERE}}})", "readable"),),
            kind="stat",
            width=4,
        ),
        _by_queue(
            "Demand", "corepoint_queue_demand", "Batches due, submitted or running: what the autoscaler follows."
        ),
        _by_queue(
            "Oldest wait",
            "corepoint_queue_oldest_wait_seconds",
            "How long the batch that waits longest has been due.",
            "s",
            600.0,
        ),
        _by_queue("Waiting", "corepoint_queue_waiting", "Batches due and not taken by a worker yet."),
        _by_queue("Running", "corepoint_queue_running", "Batches that a worker has taken."),
        Panel(
            "Workers wanted and ready",
            "What the demand would keep busy, and what is there. An autoscaler's minimum and maximum lie between them.",
            (
                Query(_latest("corepoint_queue_workers_wanted", "queue"), "{{queue}} wanted"),
                Query(_latest("corepoint_queue_workers_ready", "queue"), "{{queue}} ready"),
            ),
            width=24,
        ),
    ),
)

SERVICE = Dashboard(
    "service",
    "corepoint: Service",
    "corepoint_http_requests_in_flight",
    (
        Panel(
            "Requests",
            "Answers of the API per second, by route.",
            (Query(_rate(_ANSWERS, "method, route"), "{{method}} {{route}}"),),
            "reqps",
        ),
        Panel(
            "Answers by status",
            "Answers of the API per second. 4xx are the clients' mistakes, 5xx are ours.",
            (Query(_rate(_ANSWERS, "status"), "{{status}}"),),
            "reqps",
        ),
        Panel(
            "Errors",
            "Share of the answers that are 5xx.",
            (
                Query(
                    f"({_FAILED} or vector(0)) / {_rate(_ANSWERS)}",
                    "5xx",
                ),
            ),
            "percentunit",
            warn_above=0.05,
        ),
        Panel(
            "Slowest percent (p99)",
            "99 of 100 answers of a route were sent within this time.",
            (
                Query(
                    f"histogram_quantile(0.99, {_rate('corepoint_http_request_seconds_bucket', 'le, route')})",
                    "{{route}}",
                ),
            ),
            "s",
            warn_above=0.2,
        ),
        Panel(
            "Requests in flight",
            "Requests that are being answered.",
            (Query(f"sum(corepoint_http_requests_in_flight{{{_HERE}}})", "in flight"),),
        ),
        Panel(
            "Dispatcher: since its last turn",
            "How long ago a loop of any dispatcher last turned.",
            (Query(f"time() - {_latest('corepoint_dispatcher_turned_timestamp_seconds', 'loop')}", "{{loop}}"),),
            "s",
            warn_above=60.0,
        ),
        Panel(
            "Work due",
            "Rows of work that the dispatcher should have done by now.",
            (Query(_latest("corepoint_work_due", "kind"), "{{kind}}"),),
        ),
        Panel(
            "Oldest work due",
            "How long the oldest of these rows has been due.",
            (Query(_latest("corepoint_work_oldest_seconds", "kind"), "{{kind}}"),),
            "s",
            warn_above=60.0,
        ),
        Panel(
            "Work postponed",
            "Rows of work that failed and are tried again: Prefect or MLflow is away, or refuses.",
            (Query(_latest("corepoint_work_postponed", "kind"), "{{kind}}"),),
            width=24,
        ),
    ),
)

DASHBOARDS = (QUEUES, SERVICE)


def grafana(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": f"corepoint-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["corepoint"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_source_variable(), _namespace_variable(dashboard.known_by)]},
        "panels": [
            _panel(number, panel, place) for number, (panel, place) in enumerate(_placed(dashboard.panels), start=1)
        ],
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _namespace_variable(metric: str) -> dict[str, Any]:
    values = f"label_values({metric}, namespace)"
    return {
        "name": "namespace",
        "label": "Namespace",
        "type": "query",
        "datasource": _SOURCE,
        "definition": values,
        "query": {"query": values, "refId": "namespace"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _placed(panels: Sequence[Panel]) -> Iterator[tuple[Panel, dict[str, int]]]:
    """Left to right, then the next row."""
    x = y = 0
    for panel in panels:
        if x + panel.width > _COLUMNS:
            x, y = 0, y + _HEIGHT
        yield panel, {"x": x, "y": y, "w": panel.width, "h": _HEIGHT}
        x += panel.width


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    options: dict[str, Any] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name"}
    if panel.kind == "timeseries":
        defaults["custom"] = {"lineWidth": 2, "fillOpacity": 10, "showPoints": "never"}
        options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    if panel.warn_above is not None:
        defaults["custom"]["thresholdsStyle"] = {"mode": "line"}
        steps = [{"color": "green", "value": None}, {"color": "red", "value": panel.warn_above}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "gridPos": place,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + position),
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "editorMode": "code",
                "range": True,
            }
            for position, query in enumerate(panel.queries)
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the files that differ")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the dashboards are")
    chosen = parser.parse_args()
    texts = {f"{one.name}.json": json.dumps(grafana(one), indent=2) + "\n" for one in DASHBOARDS}
    if not chosen.check:
        chosen.folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (chosen.folder / name).write_text(text, encoding="utf-8")
        return 0
    there = {path.name: path.read_text(encoding="utf-8") for path in chosen.folder.glob("*.json")}
    differing = sorted(name for name in texts.keys() | there.keys() if texts.get(name) != there.get(name))
    for name in differing:
        print(f"{name} differs from its source; run python hack/dashboards.py")
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""docs/reference/metrics.md: every metric of the control plane, from the collectors that serve them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from reference_markdown import code, sentence, table

from app.dispatcher.pulse import Pulse
from app.health.measures import Measures
from app.metrics.catalogue import GAUGES
from app.metrics.external import EXTERNAL


def metrics_page() -> str:
    return (
        "# Metrics\n\nIn Prometheus' text format at `/metrics`. No label holds an id, so that the number of series "
        "stays bounded: queues, kinds, states, routes. [Alerts](../operations/alerts.md) and Grafana's dashboards are "
        "made of them; [how they scale the workers](../how-to/scaling.md).\n\n"
        "## Metrics component (port 9090)\n\nRead from the database, at most once a second. Replicas report the same."
        "\n\n"
        + table(
            ("metric", "labels", "meaning", "external metrics API"),
            (
                (
                    code(one.name),
                    ", ".join(map(code, one.labels)),
                    sentence(one.meaning),
                    "yes" * (one.name in EXTERNAL),
                )
                for one in GAUGES
            ),
        )
        + f"## API (port 8787)\n\n{_collected(Measures().registry)}"
        f"## Dispatcher (port 8789)\n\n{_collected(Pulse().registry)}"
    )


def _collected(registry: CollectorRegistry) -> str:
    return table(
        ("metric", "type", "meaning"),
        (
            (code(one.name + "_total" * (one.type == "counter")), one.type, sentence(one.documentation))
            for one in registry.collect()
        ),
    )

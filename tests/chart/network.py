"""The matrix of who may talk to whom, from rendered objects and from the table in docs/operations/network.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

from tests.chart.made_later import trial_job
from tests.chart.reachability import End, External, Pod, Policies
from tests.chart.rendering import NAMESPACE, ROOT, Object
from tests.chart.workloads import COMPONENT, of_kind, workloads

PAGE = ROOT / "docs/operations/network.md"
API_SERVER = "192.0.2.10"  # given to the chart as the API server's address
DATA_HOST = "198.51.100.7"  # given to the chart as a place that datasets are read from
WEBHOOK_HOST = "198.51.100.8"  # given as a place that webhooks go to
SCRAPERS = Pod({"app.kubernetes.io/name": "prometheus"}, namespace="monitoring")  # given as who reads metrics
ANYONE = Pod({"app": "anything"}, namespace="elsewhere")
CALLERS: dict[str, End] = {"scrapers": SCRAPERS, "anyone": ANYONE}
PLACES: dict[str, End] = {
    "API server": External(API_SERVER),
    "data hosts": External(DATA_HOST),
    "webhook hosts": External(WEBHOOK_HOST),
    "DNS": Pod({"k8s-app": "kube-dns"}, namespace="kube-system"),
    "metadata service": External("169.254.169.254"),
    "other pods": ANYONE,
    "internet": External("203.0.113.5"),
}
_UNLISTED = 1  # a port nobody has: where it is open, all are

Row = tuple[str, str, str]  # from, to, port


def roles(objects: list[Object]) -> dict[str, Pod]:
    """Every role of the release by its name."""
    found: dict[str, Pod] = {}
    for one in workloads(objects):
        found[one.role] = Pod.from_object({"metadata": {"labels": one.labels}, "spec": one.spec}, NAMESPACE)
    base = {"app.kubernetes.io/name": "corepoint", "app.kubernetes.io/instance": "corepoint"}
    base["app.kubernetes.io/part-of"] = "corepoint"
    for component in ("spark-driver", "spark-executor"):  # pods of SparkApplications, which the spark worker makes
        found[component] = Pod({**base, COMPONENT: component}, NAMESPACE)
    found["trial"] = Pod(trial_job()["spec"]["template"]["metadata"]["labels"], NAMESPACE)
    return found


def matrix(objects: list[Object]) -> set[Row]:
    """Each pair that may connect, for each port."""
    policies = Policies.from_objects(objects, NAMESPACE)
    ours = roles(objects)
    ports = sorted({53, 80, 443, 6443, _UNLISTED, *_numbers(objects, ours)})
    pairs = [
        *product(ours.items(), [*ours.items(), *PLACES.items()]),
        *product(CALLERS.items(), ours.items()),
    ]
    rows: set[Row] = set()
    for (source, one), (destination, other) in pairs:
        found = [f"{port}" for port in ports if policies.allows(one, other, port)]
        if policies.allows(one, other, 53, "UDP"):
            found.append("53/UDP")
        rows |= {(source, destination, port) for port in (["all"] if f"{_UNLISTED}" in found else found)}
    return rows


def _numbers(objects: list[Object], ours: dict[str, Pod]) -> Iterator[int]:
    for pod in ours.values():
        yield from pod.ports.values()
    for policy in of_kind(objects, "NetworkPolicy"):
        for rule in [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]:
            yield from (port["port"] for port in rule.get("ports", []) if isinstance(port.get("port"), int))


def documented() -> set[Row]:
    """The rows of the table; a cell may name several."""
    rows: set[Row] = set()
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] not in {"from", "---"}:
            sources, destinations, ports = (re.split(r",\s*", cell) for cell in cells[:3])
            rows |= set(product(sources, destinations, ports))
    return rows

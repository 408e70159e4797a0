"""Workers follow their queue's demand, and nothing else sets their number."""

from __future__ import annotations

from collections.abc import Iterator

from app.contracts.states import QueueName
from tests.chart.rendering import RELEASE, Object
from tests.chart.workloads import QUEUE, Workload, of_kind, workloads

METRIC = "corepoint_queue_demand"
SCALERS = ("HorizontalPodAutoscaler", "ScaledObject")


def queue_workers(objects: list[Object]) -> Iterator[str]:
    """One Deployment per queue, with the queue's name in its labels and arguments."""
    found = {one.labels.get(QUEUE): one for one in _workers(objects)}
    if set(found) != set(QueueName):
        yield f"workers of {', '.join(sorted(map(str, found)))} instead of {', '.join(QueueName)}"
    for queue, one in found.items():
        if one.name != f"{RELEASE}-worker-{queue}":
            yield f"{one}: is the worker of {queue}"
        if _option(one, "--queue") != queue:
            yield f"{one}: polls queue {_option(one, '--queue')}"


def replicas(objects: list[Object]) -> Iterator[str]:
    """What an autoscaler sets is not set by an upgrade."""
    scaled = {one["spec"]["scaleTargetRef"]["name"]: one for one in of_kind(objects, *SCALERS)}
    made = {one.name: one for one in workloads(objects)}
    for name, one in scaled.items():
        if name not in made:
            yield f"{one['kind']} {one['metadata']['name']}: scales {name}, which is not there"
        elif "replicas" in made[name].owner["spec"]:
            yield f"{made[name]}: has replicas beside {one['kind']} {one['metadata']['name']}"


def demand(objects: list[Object]) -> Iterator[str]:
    """Every worker's autoscaler asks for its own queue's demand, one pod per `limit` of it."""
    scalers = {one["spec"]["scaleTargetRef"]["name"]: one for one in of_kind(objects, "HorizontalPodAutoscaler")}
    for one in _workers(objects):
        scaler = scalers.get(one.name)
        if scaler is None:
            yield f"{one}: nothing scales it"
            continue
        wanted = {
            "type": "External",
            "external": {
                "metric": {"name": METRIC, "selector": {"matchLabels": {"queue": one.labels.get(QUEUE)}}},
                "target": {"type": "AverageValue", "averageValue": _option(one, "--limit")},
            },
        }
        if scaler["spec"]["metrics"][:1] != [wanted]:
            yield f"{scaler['metadata']['name']}: asks {scaler['spec']['metrics']}"
        if scaler["spec"]["minReplicas"] < 1:
            yield f"{scaler['metadata']['name']}: no pod left, which needs a feature gate"
        if scaler["spec"]["maxReplicas"] <= scaler["spec"]["minReplicas"]:
            yield f"{scaler['metadata']['name']}: cannot scale"


STOCK = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 300,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
    },
}


def behavior(objects: list[Object]) -> Iterator[str]:
    """Up by 4 pods per 15 s at once; down by 1 per minute after 5 quiet minutes, for what falls may rise again."""
    for one in of_kind(objects, "HorizontalPodAutoscaler"):
        found = one["spec"].get("behavior", {})
        for side, wanted in STOCK.items():
            given = {"selectPolicy": "Max", "stabilizationWindowSeconds": 0, **found.get(side, {})}
            if given != wanted:
                yield f"{one['metadata']['name']}: {side} {found.get(side)}"


def grace(objects: list[Object]) -> Iterator[str]:
    """A worker told to stop has the time to finish its sample."""
    for one in _workers(objects):
        if one.spec.get("terminationGracePeriodSeconds", 30) < 120:
            yield f"{one}: is killed after {one.spec.get('terminationGracePeriodSeconds', 30)} s"


def _workers(objects: list[Object]) -> list[Workload]:
    return [one for one in workloads(objects) if one.component == "worker"]


def _option(one: Workload, name: str) -> str | None:
    words = [
        word for container in one.containers for word in [*container.get("command", []), *container.get("args", [])]
    ]
    for index, word in enumerate(words):
        if word == name:
            return str(words[index + 1])
        if word.startswith(f"{name}="):
            return str(word.partition("=")[2])
    return None

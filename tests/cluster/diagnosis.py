"""What a failed test prints of the cluster: reasons of pods, and their last words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.cluster.kube import Kube, is_ready

LINES = 15


def diagnosis(kube: Kube) -> str:
    return "\n".join(_lines(kube))


def _lines(kube: Kube) -> Iterator[str]:
    pods = kube.objects("pods")
    yield kube.run("get", "pods,hpa", "-o", "wide", check=False)
    yield kube.run("get", "events", "--sort-by=.lastTimestamp", check=False)[-3_000:]
    for pod in pods:
        name = pod["metadata"]["name"]
        if pod["status"].get("phase") == "Succeeded":
            continue
        yield from _reasons(pod)
        if not is_ready(pod) or "dispatcher" in name or "api" in name:
            yield f"--- last lines of {name}"
            yield kube.run("logs", name, f"--tail={LINES}", check=False)


def _reasons(pod: dict[str, Any]) -> Iterator[str]:
    name, status = pod["metadata"]["name"], pod["status"]
    for container in status.get("containerStatuses", []) + status.get("initContainerStatuses", []):
        for when in ("state", "lastState"):
            for kind, detail in container.get(when, {}).items():
                if kind != "running" and detail.get("reason") != "Completed":
                    said = f"{detail.get('reason')} {detail.get('message', '')} exit {detail.get('exitCode')}"
                    yield f"{name}/{container['name']} {when} {kind}: {said}"
    for condition in status.get("conditions", []):
        if condition["status"] != "True" and condition.get("message"):
            yield f"{name}: {condition['type']}: {condition['message']}"

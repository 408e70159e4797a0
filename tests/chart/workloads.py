"""Pods and what refers to them, found in rendered objects."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.chart.rendering import NAMESPACE, Object

COMPONENT = "app.kubernetes.io/component"
QUEUE = "corepoint.io/queue"
_TEMPLATED = ("Deployment", "StatefulSet", "Job")


@dataclass(frozen=True)
class Workload:
    """An object that makes pods, and the pod it makes."""

    kind: str
    name: str
    metadata: Object
    spec: Object
    owner: Object

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.metadata.get("labels", {})
        return labels

    @property
    def component(self) -> str:
        return self.labels.get(COMPONENT, "")

    @property
    def role(self) -> str:
        """The component, with its queue where there is one: `worker/spark`."""
        queue = self.labels.get(QUEUE)
        return f"{self.component}/{queue}" if queue and self.component == "worker" else self.component

    @property
    def lasting(self) -> bool:
        return self.kind in {"Deployment", "StatefulSet"}

    @property
    def containers(self) -> list[Object]:
        """The containers that stay."""
        return list(self.spec["containers"])

    @property
    def all_containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.containers]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def of_kind(objects: Iterable[Object], *kinds: str) -> list[Object]:
    return [found for found in objects if found["kind"] in kinds]


def workloads(objects: Iterable[Object]) -> list[Workload]:
    """Everything that makes pods: Deployments, StatefulSets, Jobs, and the pods of `helm test`."""
    found = []
    for one in objects:
        name = one["metadata"].get("name", "")
        if one["kind"] == "Pod":
            found.append(Workload("Pod", name, one["metadata"], one["spec"], one))
        elif one["kind"] in _TEMPLATED:
            template = one["spec"]["template"]
            found.append(Workload(one["kind"], name, template.get("metadata", {}), template["spec"], one))
    return found


def environment(container: Object, objects: Iterable[Object]) -> dict[str, str]:
    """The variables a container starts with; those from secrets and fields that only a cluster knows get a stand-in."""
    by_name = {(one["kind"], one["metadata"].get("name")): one for one in objects}
    variables: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            variables |= by_name[("ConfigMap", source["configMapRef"]["name"])].get("data", {})
        else:
            variables |= decoded(by_name[("Secret", source["secretRef"]["name"])])
    for entry in container.get("env", []):
        variables[entry["name"]] = _value(entry, by_name, variables)
    return variables


def _value(entry: Object, by_name: Mapping[tuple[str, Any], Object], earlier: Mapping[str, str]) -> str:
    if "value" in entry:
        value = str(entry["value"])
        for name, known in earlier.items():
            value = value.replace(f"$({name})", known)
        return value
    source = entry.get("valueFrom", {})
    for kind, reference in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
        if reference in source:
            owner = by_name.get((kind, source[reference]["name"]))
            data = {} if owner is None else decoded(owner) if kind == "Secret" else owner.get("data", {})
            return str(data.get(source[reference]["key"], "dummy"))
    return NAMESPACE if source.get("fieldRef", {}).get("fieldPath") == "metadata.namespace" else "dummy"


def decoded(secret: Object) -> dict[str, str]:
    plain = {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}
    return {**plain, **secret.get("stringData", {})}

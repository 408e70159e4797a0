"""What rendered objects say about each other: names, selectors, ports, keys."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import permutations

from tests.chart.reachability import matches
from tests.chart.rendering import RELEASE, Object
from tests.chart.workloads import COMPONENT, Workload, decoded, of_kind, workloads

LABELS = {
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/part-of",
    COMPONENT,
}
# These do not change with the version: a selector is for ever.
SELECTED_BY = {"app.kubernetes.io/name", "app.kubernetes.io/instance", COMPONENT}
# Pods of these are made while a release runs, not by it.
MADE_LATER = {"trial", "spark-driver", "spark-executor"}


def identities(objects: list[Object]) -> Iterator[str]:
    """No two objects have one name, and all names are ones a Service may have too."""
    names = Counter((one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in objects)
    for (kind, _, name), count in names.items():
        if count > 1:
            yield f"{kind} {name}: {count} times"
        if not kind.endswith(("Role", "RoleBinding", "APIService")) and not re.fullmatch(
            "[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name
        ):
            yield f"{kind} {name}: not a DNS label"


def labels(objects: list[Object]) -> Iterator[str]:
    for one in objects:
        found = one["metadata"].get("labels", {})
        if missing := (LABELS | {"helm.sh/chart"}) - set(found):
            yield f"{one['kind']} {one['metadata']['name']}: without {', '.join(sorted(missing))}"
    for made in workloads(objects):
        if missing := LABELS - {"app.kubernetes.io/version", "app.kubernetes.io/managed-by"} - set(made.labels):
            yield f"pods of {made}: without {', '.join(sorted(missing))}"
        if made.labels.get("app.kubernetes.io/instance") not in {RELEASE, None}:
            yield f"pods of {made}: of another release"


def selectors(objects: list[Object]) -> Iterator[str]:
    """Every owner selects its own pods and nobody else's."""
    owners = [one for one in workloads(objects) if one.lasting]
    for one in owners:
        selector = one.owner["spec"]["selector"]
        if not matches(selector, one.labels):
            yield f"{one}: does not select its own pods"
        if not set(selector.get("matchLabels", {})) >= SELECTED_BY:
            yield f"{one}: selects by too few labels"
        if "app.kubernetes.io/version" in selector.get("matchLabels", {}):
            yield f"{one}: selects by version, which no upgrade could change"
    for one, other in permutations(owners, 2):
        if matches(one.owner["spec"]["selector"], other.labels):
            yield f"{one}: selects pods of {other}"


def services(objects: list[Object]) -> Iterator[str]:
    made = workloads(objects)
    known = {service["metadata"]["name"]: service for service in of_kind(objects, "Service")}
    for name, service in known.items():
        selected = [one for one in made if matches({"matchLabels": service["spec"].get("selector")}, one.labels)]
        if not selected:
            yield f"Service {name}: selects nothing"
        for port, one in ((port, one) for port in service["spec"]["ports"] for one in selected):
            if port.get("targetPort", port["port"]) not in _ports(one):
                yield f"Service {name}: {one} has no port {port.get('targetPort')}"
        if service["spec"].get("type", "ClusterIP") not in {"ClusterIP"} and name != f"{RELEASE}-api":
            yield f"Service {name}: open to the outside"
    for one in made:
        if one.kind == "StatefulSet":
            service = known.get(one.owner["spec"].get("serviceName"), {"spec": {}})
            if service["spec"].get("clusterIP") != "None":
                yield f"{one}: its service is not a headless one of this release"


def _ports(one: Workload) -> set[str | int]:
    ports = [port for container in one.containers for port in container.get("ports", [])]
    return {port["containerPort"] for port in ports} | {port["name"] for port in ports if "name" in port}


def disruption_budgets(objects: list[Object]) -> Iterator[str]:
    """Each selects the pods of one workload, and lets a node be drained."""
    owners = [one for one in workloads(objects) if one.lasting]
    for budget in of_kind(objects, "PodDisruptionBudget"):
        name, spec = budget["metadata"]["name"], budget["spec"]
        selected = [one for one in owners if matches(spec.get("selector"), one.labels)]
        if len(selected) != 1:
            yield f"PodDisruptionBudget {name}: selects {', '.join(map(str, selected)) or 'nothing'}"
        if spec.get("maxUnavailable") in {0, "0%", None}:
            yield f"PodDisruptionBudget {name}: no node could ever be drained"


def references(objects: list[Object]) -> Iterator[str]:
    """ConfigMaps, Secrets and claims that pods name are of this release, with the keys they name."""
    held: dict[tuple[str, str], set[str]] = {}
    for one in objects:
        if one["kind"] in {"ConfigMap", "Secret", "PersistentVolumeClaim"}:
            keys = decoded(one) if one["kind"] == "Secret" else one.get("data", {})
            held[one["kind"], one["metadata"]["name"]] = set(keys)
    for made in workloads(objects):
        for kind, name, key in _named(made):
            if (kind, name) not in held:
                yield f"{made}: {kind} {name} is not of this release"
            elif key is not None and key not in held[kind, name]:
                yield f"{made}: {kind} {name} has no key {key}"


def _named(one: Workload) -> Iterator[tuple[str, str, str | None]]:
    for container in one.all_containers:
        for source in container.get("envFrom", []):
            for kind, reference in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if reference in source and not source[reference].get("optional"):
                    yield kind, source[reference]["name"], None
        for entry in container.get("env", []):
            for kind, reference in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                found = entry.get("valueFrom", {}).get(reference)
                if found and not found.get("optional"):
                    yield kind, found["name"], found["key"]
    for volume in one.spec.get("volumes", []):
        for kind, source, field in (
            ("ConfigMap", "configMap", "name"),
            ("Secret", "secret", "secretName"),
            ("PersistentVolumeClaim", "persistentVolumeClaim", "claimName"),
        ):
            if source in volume and not volume[source].get("optional"):
                for item in volume[source].get("items", [{}]):
                    yield kind, volume[source][field], item.get("key")


def checksums(objects: list[Object]) -> Iterator[str]:
    """A pod that reads a ConfigMap or Secret is made anew when that changes."""
    of_secrets = {"checksum/secret", "checksum/tls"}
    for one in workloads(objects):
        used = {kind for kind, _, _ in _named(one)} if one.lasting else set()
        found = {key for key in one.metadata.get("annotations", {}) if key.startswith("checksum/")}
        if "Secret" in used and not found & of_secrets:
            yield f"{one}: uses a Secret and has no checksum of it"
        if "ConfigMap" in used and not found - of_secrets:
            yield f"{one}: uses a ConfigMap and has no checksum of it"


def policies(objects: list[Object]) -> Iterator[str]:
    """Every pod is isolated in both directions, and no policy is for pods that are never made."""
    found = of_kind(objects, "NetworkPolicy")
    for one in workloads(objects):
        for direction in ("Ingress", "Egress"):
            if not any(
                direction in policy["spec"]["policyTypes"] and matches(policy["spec"]["podSelector"], one.labels)
                for policy in found
            ):
                yield f"pods of {one}: no policy for {direction}"
    for policy in found:
        selector = policy["spec"]["podSelector"]
        later = any(component in str(selector) for component in MADE_LATER)
        if not later and not any(matches(selector, one.labels) for one in workloads(objects)):
            yield f"NetworkPolicy {policy['metadata']['name']}: selects nothing"


def claims(objects: list[Object]) -> Iterator[str]:
    """Data outlives the release."""
    for claim in of_kind(objects, "PersistentVolumeClaim"):
        if claim["metadata"].get("annotations", {}).get("helm.sh/resource-policy") != "keep":
            yield f"PersistentVolumeClaim {claim['metadata']['name']}: goes with the release"
    for one in of_kind(objects, "StatefulSet"):
        policy = one["spec"].get("persistentVolumeClaimRetentionPolicy", {})
        if {policy.get("whenDeleted", "Retain"), policy.get("whenScaled", "Retain")} != {"Retain"}:
            yield f"StatefulSet {one['metadata']['name']}: its claims go with it"


def migration(objects: list[Object]) -> Iterator[str]:
    """A Job cannot be changed, so each revision has its own, and what needs its schema waits for it."""
    jobs = [one for one in workloads(objects) if one.kind == "Job" and one.component == "migrate"]
    if [one.name for one in jobs] != [f"{RELEASE}-migrate-r1"]:
        yield f"migration Jobs: {', '.join(one.name for one in jobs) or 'none'}"
    for job in jobs:
        if any(key.startswith("helm.sh/hook") for key in job.owner["metadata"].get("annotations", {})):
            yield f"{job}: a hook would wait for a database that is not installed yet, or race with it"
    for one in workloads(objects):
        if one.lasting and one.component in {"api", "dispatcher", "metrics"}:
            waits = [*(word for container in one.spec.get("initContainers", []) for word in _words(container))]
            if "wait" not in waits:
                yield f"{one}: does not wait for the migration"


def _words(container: Object) -> list[str]:
    return [*container.get("command", []), *container.get("args", [])]

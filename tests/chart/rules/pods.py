"""What every pod of the chart keeps to. A rule takes rendered objects and names each place that breaks it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.chart.rendering import Object
from tests.chart.workloads import Workload, of_kind, workloads

RESOURCES = ("cpu", "memory", "ephemeral-storage")
# The volume types of the restricted Pod Security Standard.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
# Who speaks to the API server: reads pods and sets their deletion cost, makes SparkApplications, Jobs or executors.
TOKENS = {"dispatcher", "metrics", "pods-worker", "worker/spark", "spark-driver"}
READINESS = re.compile(r"ready", re.IGNORECASE)


def restricted_pods(objects: list[Object]) -> Iterator[str]:
    """The pod-level part of the restricted Pod Security Standard."""
    for one in workloads(objects):
        context = one.spec.get("securityContext") or {}
        if context.get("runAsNonRoot") is not True:
            yield f"{one}: runAsNonRoot is not true"
        if (context.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
            yield f"{one}: no seccomp profile"
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if one.spec.get(name):
                yield f"{one}: {name}"
        for volume in one.spec.get("volumes", []):
            if other := set(volume) - {"name"} - VOLUMES:
                yield f"{one}: volume {volume['name']} is {', '.join(sorted(other))}"


def restricted_containers(objects: list[Object]) -> Iterator[str]:
    """The container-level part, and a root filesystem nobody writes to."""
    for one in workloads(objects):
        user = (one.spec.get("securityContext") or {}).get("runAsUser")
        for container in one.all_containers:
            context = container.get("securityContext") or {}
            for name, wanted in (
                ("allowPrivilegeEscalation", False),
                ("readOnlyRootFilesystem", True),
                ("privileged", False),
                ("runAsNonRoot", True),
            ):
                if context.get(name, wanted if name in {"privileged", "runAsNonRoot"} else None) is not wanted:
                    yield f"{one}, {container['name']}: {name} is not {wanted}"
            if context.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{one}, {container['name']}: capabilities are not just dropped"
            if not context.get("runAsUser", user):
                yield f"{one}, {container['name']}: no numeric user, which runAsNonRoot needs"
            if (context.get("seccompProfile") or {}).get("type", "RuntimeDefault") != "RuntimeDefault":
                yield f"{one}, {container['name']}: a seccomp profile of its own"
            if any("hostPort" in port for port in container.get("ports", [])):
                yield f"{one}, {container['name']}: hostPort"


def resources(objects: list[Object]) -> Iterator[str]:
    for one in workloads(objects):
        for container in one.all_containers:
            given = container.get("resources") or {}
            for side in ("requests", "limits"):
                for name in RESOURCES:
                    if name not in (given.get(side) or {}):
                        yield f"{one}, {container['name']}: no {side} of {name}"


def probes(objects: list[Object]) -> Iterator[str]:
    """Liveness asks the process alone: a database that is away must not restart what waits for it."""
    for one in workloads(objects):
        for container in one.containers if one.lasting else []:
            liveness, readiness = container.get("livenessProbe"), container.get("readinessProbe")
            if not liveness or not readiness:
                yield f"{one}, {container['name']}: {'readiness' if liveness else 'liveness'} probe is missing"
                continue
            if liveness == readiness:
                yield f"{one}, {container['name']}: liveness and readiness are the same probe"
            if READINESS.search(liveness.get("httpGet", {}).get("path", "")):
                yield f"{one}, {container['name']}: liveness asks for readiness"
        for container in one.containers:
            names = {port.get("name") for port in container.get("ports", [])}
            for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
                for action in ("httpGet", "tcpSocket"):
                    port = container.get(probe, {}).get(action, {}).get("port")
                    if isinstance(port, str) and port not in names:
                        yield f"{one}, {container['name']}: {probe} asks port {port}, which it does not have"


def images(objects: list[Object]) -> Iterator[str]:
    """A tag or a digest, and never the tag that means anything."""
    for one in workloads(objects):
        for container in one.all_containers:
            name, _, digest = container["image"].partition("@")
            tag = name.rpartition("/")[2].partition(":")[2]
            if not digest and tag in {"", "latest"}:
                yield f"{one}, {container['name']}: image {container['image']}"


def tokens(objects: list[Object]) -> Iterator[str]:
    for one in workloads(objects):
        mounted = one.spec.get("automountServiceAccountToken")
        if mounted is not (one.role in TOKENS):
            yield f"{one} ({one.role}): automountServiceAccountToken is {mounted}"
        if one.role in TOKENS and any("serviceAccountToken" in str(volume) for volume in one.spec.get("volumes", [])):
            yield f"{one}: a token by volume"
    for account in of_kind(objects, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount {account['metadata']['name']}: gives its token to every pod"


def service_accounts(objects: list[Object]) -> Iterator[str]:
    known = {account["metadata"]["name"] for account in of_kind(objects, "ServiceAccount")}
    for one in workloads(objects):
        name = one.spec.get("serviceAccountName")
        if name not in known:
            yield f"{one}: service account {name} is not of this release"


def service_links(objects: list[Object]) -> Iterator[str]:
    """Variables made of service names, COREPOINT_API_PORT among them, would be read as settings."""
    for one in workloads(objects):
        if one.spec.get("enableServiceLinks") is not False:
            yield f"{one}: enableServiceLinks is not false"


def environments(objects: list[Object]) -> Iterator[str]:
    """Names once each (Helm 4 refuses others), and `$(NAME)` only of variables that are there."""
    for one in workloads(objects):
        for container in one.all_containers:
            seen: list[str] = []
            for entry in container.get("env", []):
                if entry["name"] in seen:
                    yield f"{one}, {container['name']}: {entry['name']} twice"
                seen.extend([entry["name"]])
                yield from _unknown(one, container, str(entry.get("value", "")), seen)
            for argument in [*container.get("command", []), *container.get("args", [])]:
                yield from _unknown(one, container, argument, seen)


def _unknown(one: Workload, container: Object, text: str, known: list[str]) -> Iterator[str]:
    for name in re.findall(r"(?<!\$)\$\(([A-Za-z_][A-Za-z0-9_]*)\)", text):
        if name not in known:
            yield f"{one}, {container['name']}: $({name}) is not defined before it is used"


def volumes(objects: list[Object]) -> Iterator[str]:
    """emptyDirs have a size, mounts have a volume, and there is a place for temporary files."""
    for one in workloads(objects):
        named = {volume["name"]: volume for volume in one.spec.get("volumes", [])}
        claims = {claim["metadata"]["name"] for claim in one.owner.get("spec", {}).get("volumeClaimTemplates", [])}
        for name, volume in named.items():
            if "emptyDir" in volume and not (volume["emptyDir"] or {}).get("sizeLimit"):
                yield f"{one}: emptyDir {name} has no size"
        for container in one.all_containers:
            mounts = container.get("volumeMounts", [])
            for mount in mounts:
                if mount["name"] not in {*named, *claims}:
                    yield f"{one}, {container['name']}: mounts {mount['name']}, which is no volume of the pod"
            if not any(mount["mountPath"] == "/tmp" for mount in mounts):  # noqa: S108
                yield f"{one}, {container['name']}: no /tmp to write to"

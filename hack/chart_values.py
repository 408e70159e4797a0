"""The chart's values as JSON Schema: names, defaults and descriptions from values.yaml, the rest from here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parent.parent / "charts" / "corepoint"
VALUES, SCHEMA = CHART / "values.yaml", CHART / "values.schema.json"

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NAMES: Schema = {"type": "object", "additionalProperties": TEXT}
OPEN: Schema = {"type": "object"}  # of Kubernetes, which checks it itself
QUANTITY: Schema = {"type": ["string", "integer"], "pattern": r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$"}
MAYBE_QUANTITY: Schema = {**QUANTITY, "pattern": r"^([0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?)?$"}
CPU: Schema = {"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+)?m?$"}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65_535}
CIDR: Schema = {"type": "string", "pattern": r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"}
COUNT: Schema = {"type": "integer", "minimum": 1}
NAMED: Schema = {"type": "object", "required": ["name"]}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
SETTING = "^COREPOINT_[A-Z_]+$"
AMOUNTS: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "cpu": {"description": "Cores.", **CPU},
        "memory": {"description": "Memory, /dev/shm included.", **QUANTITY},
        "ephemeral-storage": {"description": "Of the node's disk: logs, /tmp and scratch.", **QUANTITY},
    },
}
RESOURCES: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "requests": {"description": "What is set aside for it.", **AMOUNTS},
        "limits": {"description": "What it may use.", **AMOUNTS},
    },
}


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


# By the end of a value's path; the first that fits. What fits none has the type of its default.
RULES: tuple[tuple[str, Schema], ...] = (
    (r"resources|waitResources", RESOURCES),
    (r"tag", {"type": "string", "pattern": r"^[A-Za-z0-9_.-]*$", "not": {"const": "latest"}}),
    (r"digest", {"type": "string", "pattern": r"^(sha256:[0-9a-f]{64})?$"}),
    (r"pullPolicy", one_of("IfNotPresent", "Always", "Never")),
    (r"imagePullSecrets", list_of(NAMED)),
    (r"extraEnv", list_of(NAMED)),
    (r"extraVolumes", list_of(NAMED)),
    (r"extraVolumeMounts", list_of({"type": "object", "required": ["name", "mountPath"]})),
    (r"extraEnvFrom|tolerations|topologySpreadConstraints|scrapers|peers|tls(?<=ingress\.tls)", list_of(OPEN)),
    (r"affinity|podSecurityContext|podSpec|behavior", OPEN),
    (r"settings", {"type": "object", "additionalProperties": False, "patternProperties": {SETTING: SCALAR}}),
    (r"postgres\.parameters", {"type": "object", "additionalProperties": SCALAR}),
    (r"annotations|podAnnotations|apiServiceAnnotations|labels|podLabels|nodeSelector|selector", NAMES),
    (r"queues\.[a-z-]+\.memory", MAYBE_QUANTITY),
    (r"size|scratch|tmpSize|reserve|memory|memoryMax", QUANTITY),
    (r"cidrs", list_of(CIDR)),
    (r"ports", list_of(PORT)),
    (r"port", PORT),
    (r"autoscaling\.min", {"type": "integer", "minimum": 0}),
    (r"replicas|limit|cores|min|max|retentionDays|sampleSeconds|startSeconds|uid|cpuUtilization", COUNT),
    (r"hosts|allowedHosts", list_of(TEXT)),
    (r"image", one_of("worker", "spark")),
    (r"autoscaling\.source", one_of("builtin", "keda", "external", "resource")),
    (r"submitter", one_of("operator", "local")),
    (r"authentication", one_of("none", "auth-string", "api-key")),
    (r"sslmode", one_of("disable", "require", "verify-ca", "verify-full")),
    (r"service\.type", one_of("ClusterIP", "NodePort", "LoadBalancer")),
    (r"loggingLevel", one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
    (r"timeout|interval", {"type": "string", "pattern": r"^[0-9]+(s|m|h)$"}),
)
# Said once for all the places that have them.
DESCRIPTIONS = {
    "enabled": "Whether it is installed.",
    "autoscaling.enabled": "Without it, there are `replicas` workers.",
    "replicas": "How many pods.",
    "resources": "What its container requests and may use.",
    "persistence": "The volume of its data; it outlives the release.",
    "persistence.enabled": "Without it, data is lost with the pod.",
    "size": "Of the volume.",
    "existingClaim": "A claim of yours, instead of one that is made.",
    "annotations": "Annotations of the object.",
    "labels": "Labels of the object, by which it is selected.",
    "registry": "Host of the registry.",
    "repository": "Path in the registry.",
    "tag": "Never `latest`.",
    "digest": "`sha256:…`; wins over the tag.",
    "pullPolicy": "When the node asks the registry.",
    "external": "What is elsewhere.",
    "storageClass": "`-` is the empty class, nothing the cluster's default.",
    "min": "At least so many.",
    "autoscaling.min": "At least so many; 0 with KEDA only.",
    "max": "At most so many.",
    "cidrs": "Addresses, for the network policies.",
    "port": "Its port, for the network policies.",
    "cores": "Of a container.",
    "executor.memory": "Of a container, at least.",
    "driver.memory": "Of a container, at least.",
    "memoryMax": "Of a container, at most.",
    "image": "Which of `images`.",
    "limit": "Batches at a time in one worker; with spark.submitter=local always one.",
    "threads": "Of a sample; if 0, the CPU limit of the pod.",
    "memory": "Of a sample; if empty, the memory limit of the pod less workers.reserve.",
    "scratch": "Size of the volume for datasets and samples.",
    "autoscaling": "How many workers it has.",
    "instances": "How many executors a batch has.",
    "corepoint": "For corepoint.",
    "prefect": "For Prefect.",
    "mlflow": "For MLflow.",
}
COMPONENTS = (
    *("api", "dispatcher", "metrics", "migrate", "tests"),
    *("prefect", "postgres", "minio", "mlflow"),
    *("workers", "podIsolation"),
)
_WORKERS_ONLY = {"queues", "pool", "reserve"}


def chart_schema() -> Schema:
    """Closed wherever the chart, and not Kubernetes or the user, gives the names."""
    text = VALUES.read_text(encoding="utf-8")
    said = _comments(text)
    root = _schema((), yaml.safe_load(text), said)
    properties = root["properties"]
    for name in COMPONENTS:
        _add(properties[name], properties["defaults"]["properties"])
    workers = properties["workers"]["properties"]
    shared = {name: one for name, one in workers.items() if name not in _WORKERS_ONLY}
    for queue in workers["queues"]["properties"].values():
        _add(queue, shared)
        _add(queue["properties"]["autoscaling"], workers["autoscaling"]["properties"])
    # Other charts put theirs there too.
    properties["global"]["additionalProperties"] = True
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the corepoint chart", **root}


def written_schema() -> str:
    return json.dumps(chart_schema(), indent=1, ensure_ascii=False) + "\n"


def _add(component: Schema, shared: Mapping[str, Schema]) -> None:
    for name, one in shared.items():
        component["properties"].setdefault(name, _inherited(one))


def _inherited(schema: Schema) -> Schema:
    """Without defaults: they are those of where it comes from."""
    kept = {key: value for key, value in schema.items() if key not in {"default", "properties"}}
    if "properties" in schema:
        kept["properties"] = {name: _inherited(one) for name, one in schema["properties"].items()}
    return kept


def _schema(path: tuple[str, ...], value: Any, said: Mapping[tuple[str, ...], str]) -> Schema:
    found: Schema = {}
    if path:
        found["description"] = said.get(path) or _usual(path)
    rule = next((rule for ending, rule in RULES if path and re.search(rf"(^|\.)({ending})$", ".".join(path))), None)
    if rule is not None:
        return {**found, **rule, "default": value}
    if isinstance(value, dict):
        assert value, f"a rule must say what {'.'.join(path)} holds"
        properties = {name: _schema((*path, name), one, said) for name, one in value.items()}
        return {**found, "type": "object", "additionalProperties": False, "properties": properties}
    kinds = {bool: "boolean", int: "integer", str: "string"}
    minimum = {"minimum": 0} if type(value) is int else {}
    return {**found, "type": kinds[type(value)], **minimum, "default": value}


def _usual(path: tuple[str, ...]) -> str:
    for name in (".".join(path[-2:]), path[-1]):
        if name in DESCRIPTIONS:
            return DESCRIPTIONS[name]
    raise SystemExit(f"values.yaml does not say what {'.'.join(path)} is: put a comment above it")


def _comments(text: str) -> dict[tuple[str, ...], str]:
    """The comment lines right above each key, by the key's path."""
    lines = text.splitlines()
    found: dict[tuple[str, ...], str] = {}

    def visit(path: tuple[str, ...], node: yaml.Node) -> None:
        if not isinstance(node, yaml.MappingNode):
            return
        for key, value in node.value:
            here = (*path, key.value)
            if comment := _above(lines, key.start_mark.line, key.start_mark.column):
                found[here] = comment
            visit(here, value)

    root = yaml.compose(text)
    assert root is not None
    visit((), root)
    return found


def _above(lines: list[str], line: int, column: int) -> str:
    if lines[line][:column].strip():  # inside of {…}: what is above belongs to the whole
        return ""
    said: list[str] = []
    while line > 0 and lines[line - 1].startswith(" " * column + "#"):
        line -= 1
        said.insert(0, lines[line][column:].lstrip("# "))
    return " ".join(said)

"""Writes tests/chart/schemas: what kubeconform checks the rendered chart against.

Kubernetes' own kinds come from the OpenAPI of a running API server (`kubectl get --raw /openapi/v3/…`, so `KUBECONFIG`
says which), the kinds of others from the CRDs in the Go modules of their operators. Both without descriptions and with
unknown fields refused, so that a typo in a template is an error as it would be with `kubectl apply --validate=strict`.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import yaml

TARGET = Path(__file__).resolve().parent.parent / "tests/chart/schemas"


class Kinds(NamedTuple):
    path: str
    kinds: tuple[str, ...]


class Crd(NamedTuple):
    module: str
    path: str


SERVED = (
    Kinds("api/v1", ("ConfigMap", "PersistentVolumeClaim", "Pod", "Secret", "Service", "ServiceAccount")),
    Kinds("apis/apiregistration.k8s.io/v1", ("APIService",)),
    Kinds("apis/apps/v1", ("Deployment", "StatefulSet")),
    Kinds("apis/autoscaling/v2", ("HorizontalPodAutoscaler",)),
    Kinds("apis/batch/v1", ("CronJob", "Job")),
    Kinds("apis/networking.k8s.io/v1", ("Ingress", "NetworkPolicy")),
    Kinds("apis/policy/v1", ("PodDisruptionBudget",)),
    Kinds("apis/rbac.authorization.k8s.io/v1", ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")),
)
CRDS = (
    Crd("github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases/keda.sh_scaledobjects.yaml"),
    Crd("github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    Crd("github.com/kubeflow/spark-operator/v2@v2.5.2", "config/crd/bases/sparkoperator.k8s.io_sparkapplications.yaml"),
    Crd(
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
    Crd(
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
)
# Of no use to a validator, and most of the size.
_DROPPED = frozenset({"description", "default", "example", "externalDocs", "discriminator"})


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    for old in TARGET.glob("*.json"):
        old.unlink()
    definitions: dict[str, Any] = {}
    for path, kinds in SERVED:
        served = json.loads(_output("kubectl", "get", "--raw", f"/openapi/v3/{path}"))["components"]["schemas"]
        for kind in kinds:
            name = _definition(served, kind, path)
            _take(served, name, definitions)
            _write(_file(kind, path), {"$ref": f"_definitions.json#/definitions/{name}"})
    for module, path in CRDS:
        folder = json.loads(_output("go", "mod", "download", "-json", module))["Dir"]
        crd = yaml.safe_load((Path(folder) / path).read_text())["spec"]
        for version in crd["versions"]:
            group = f"{crd['group']}/{version['name']}"
            schema = _strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"$ref": "_definitions.json#/definitions/" + _METADATA}
            _write(_file(crd["names"]["kind"], group), schema)
    version = json.loads(_output("kubectl", "version", "-o", "json"))["serverVersion"]["gitVersion"]
    _write("_definitions.json", {"$comment": f"Kubernetes {version}", "definitions": dict(sorted(definitions.items()))})


_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _file(kind: str, path: str) -> str:
    """The name kubeconform asks for: `{{.ResourceKind}}{{.KindSuffix}}.json`, with the group's first word."""
    group, _, version = path.removeprefix("apis/").removeprefix("api/").rpartition("/")
    return "-".join(filter(None, (kind.lower(), group.split(".")[0], version))) + ".json"


def _definition(served: dict[str, Any], kind: str, path: str) -> str:
    group, _, version = path.removeprefix("apis/").removeprefix("api/").rpartition("/")
    wanted = {"group": group, "version": version, "kind": kind}
    return next(name for name, schema in served.items() if wanted in schema.get("x-kubernetes-group-version-kind", []))


def _take(served: dict[str, Any], name: str, definitions: dict[str, Any]) -> None:
    """Copies a definition and all it refers to."""
    if name in definitions:
        return
    definitions[name] = _strict(served[name])
    for reference in _references(served[name]):
        _take(served, reference, definitions)


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for entry in schema for name in _references(entry)]
    if not isinstance(schema, dict):
        return []
    found = [schema["$ref"].rpartition("/")[2]] if isinstance(schema.get("$ref"), str) else []
    return found + [name for value in schema.values() for name in _references(value)]


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema as draft 7, without descriptions, and closed wherever it names its properties."""
    strict: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _DROPPED or key.startswith("x-kubernetes"):
            continue
        if key == "properties":
            strict[key] = {name: _strict(entry) for name, entry in value.items()}
        elif key == "$ref":
            strict[key] = "#/definitions/" + value.rpartition("/")[2]
        elif isinstance(value, dict):
            strict[key] = _strict(value)
        elif isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
            strict[key] = [_strict(entry) for entry in value]
        else:
            strict[key] = value
    if schema.get("x-kubernetes-int-or-string"):
        strict["type"] = ["integer", "string"]
        strict.pop("anyOf", None)
    if "properties" in strict and "additionalProperties" not in strict:
        strict["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    return strict


def _write(name: str, schema: dict[str, Any]) -> None:
    (TARGET / name).write_text(json.dumps(schema, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

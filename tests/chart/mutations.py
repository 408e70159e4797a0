"""Faults a chart may come to have, by the rule that has to find them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.chart.rendering import Object
from tests.chart.rules.secrets import SECRETS
from tests.chart.workloads import COMPONENT, decoded

Fault = Callable[[list[Object]], None]


def one(objects: list[Object], kind: str, component: str | None = None) -> Object:
    return next(
        found
        for found in objects
        if found["kind"] == kind and component in {None, found["metadata"].get("labels", {}).get(COMPONENT)}
    )


def spec(objects: list[Object], component: str, kind: str = "Deployment") -> Any:
    return one(objects, kind, component)["spec"]["template"]["spec"]


def container(objects: list[Object], component: str, kind: str = "Deployment") -> Any:
    return spec(objects, component, kind)["containers"][0]


def removed(objects: list[Object], kind: str, component: str | None = None) -> None:
    objects.remove(one(objects, kind, component))


def helm_test(objects: list[Object]) -> Any:
    return one(objects, "Pod")["spec"]


def secret(objects: list[Object]) -> Object:
    return next(found for found in objects if found["metadata"]["name"] == SECRETS)


def admin_key(objects: list[Object]) -> str:
    return decoded(secret(objects))["admin-key"]


def without_policies_of(objects: list[Object], *names: str) -> None:
    gone = [found for found in objects if found["metadata"]["name"] in {f"corepoint-{name}" for name in names}]
    for found in gone:
        if found["kind"] == "NetworkPolicy":
            objects.remove(found)


BREAKS: dict[str, list[Fault]] = {
    "pods.restricted_pods": [
        lambda objects: spec(objects, "api")["securityContext"].pop("seccompProfile"),
        lambda objects: spec(objects, "minio", "StatefulSet").update(hostNetwork=True),
        lambda objects: helm_test(objects)["securityContext"].update(runAsNonRoot=False),
        lambda objects: spec(objects, "api")["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    ],
    "pods.restricted_containers": [
        lambda objects: container(objects, "api")["securityContext"].pop("allowPrivilegeEscalation"),
        lambda objects: container(objects, "api")["securityContext"].pop("readOnlyRootFilesystem"),
        lambda objects: spec(objects, "api")["initContainers"][0]["securityContext"].pop("capabilities"),
        lambda objects: helm_test(objects)["containers"][0].pop("securityContext"),
        lambda objects: spec(objects, "api")["securityContext"].pop("runAsUser"),
    ],
    "pods.resources": [
        lambda objects: container(objects, "worker")["resources"]["limits"].pop("memory"),
        lambda objects: spec(objects, "api")["initContainers"][0].pop("resources"),
    ],
    "pods.probes": [
        lambda objects: container(objects, "mlflow").pop("livenessProbe"),
        lambda objects: container(objects, "api")["livenessProbe"]["httpGet"].update(path="/readyz"),
        lambda objects: container(objects, "api")["readinessProbe"]["httpGet"].update(port="nowhere"),
    ],
    "pods.images": [
        lambda objects: container(objects, "api").update(image="corepoint/api"),
        lambda objects: container(objects, "api").update(image="registry:5000/corepoint/api:latest"),
    ],
    "pods.tokens": [
        lambda objects: spec(objects, "api").update(automountServiceAccountToken=True),
        lambda objects: spec(objects, "api").pop("automountServiceAccountToken"),
        lambda objects: spec(objects, "dispatcher").update(automountServiceAccountToken=False),
        lambda objects: one(objects, "ServiceAccount").pop("automountServiceAccountToken"),
    ],
    "pods.service_accounts": [lambda objects: spec(objects, "api").pop("serviceAccountName")],
    "pods.service_links": [lambda objects: spec(objects, "api").pop("enableServiceLinks")],
    "pods.environments": [
        lambda objects: container(objects, "api")["env"].append(container(objects, "api")["env"][0]),
        lambda objects: container(objects, "worker")["args"].append("--name=$(NOBODY)"),
    ],
    "pods.volumes": [
        lambda objects: spec(objects, "api")["volumes"].clear(),
        lambda objects: next(v for v in spec(objects, "worker")["volumes"] if "emptyDir" in v)["emptyDir"].clear(),
        lambda objects: container(objects, "api")["volumeMounts"].clear(),
    ],
    "relations.identities": [lambda objects: objects.append(one(objects, "Service"))],
    "relations.labels": [
        lambda objects: one(objects, "ConfigMap")["metadata"].pop("labels"),
        lambda objects: one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"].pop(COMPONENT),
    ],
    "relations.selectors": [
        lambda objects: one(objects, "Deployment", "api")["spec"]["selector"]["matchLabels"].update(a="b"),
        lambda objects: one(objects, "Deployment", "worker")["spec"]["selector"]["matchLabels"].pop(
            "corepoint.io/queue"
        ),
    ],
    "relations.services": [
        lambda objects: one(objects, "Service", "api")["spec"]["ports"][0].update(targetPort=1),
        lambda objects: one(objects, "Service", "api")["spec"]["selector"].update(a="b"),
        lambda objects: one(objects, "StatefulSet")["spec"].update(serviceName="nowhere"),
    ],
    "relations.disruption_budgets": [
        lambda objects: one(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].update(a="b"),
        lambda objects: one(objects, "PodDisruptionBudget")["spec"].update(maxUnavailable=0),
    ],
    "relations.references": [
        lambda objects: objects.remove(secret(objects)),
        lambda objects: secret(objects)["data"].pop("admin-key"),
    ],
    "relations.checksums": [
        lambda objects: one(objects, "Deployment", "api")["spec"]["template"]["metadata"].pop("annotations"),
        lambda objects: one(objects, "StatefulSet", "minio")["spec"]["template"]["metadata"].pop("annotations"),
    ],
    "relations.policies": [
        lambda objects: without_policies_of(objects, "default", "mlflow"),
        lambda objects: next(
            found for found in objects if found["kind"] == "NetworkPolicy" and found["spec"]["podSelector"]
        )["spec"]["podSelector"].update(matchLabels={"a": "b"}),
    ],
    "relations.claims": [
        lambda objects: one(objects, "StatefulSet")["spec"].update(
            persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete"}
        )
    ],
    "relations.migration": [
        lambda objects: removed(objects, "Job", "migrate"),
        lambda objects: one(objects, "Job", "migrate")["metadata"].update(name="corepoint-migrate"),
        lambda objects: one(objects, "Job", "migrate")["metadata"].update(annotations={"helm.sh/hook": "post-install"}),
        lambda objects: spec(objects, "dispatcher").pop("initContainers"),
    ],
    "scaling.queue_workers": [
        lambda objects: removed(objects, "Deployment", "worker"),
        lambda objects: container(objects, "worker")["args"].clear(),
    ],
    "scaling.replicas": [
        lambda objects: one(objects, "Deployment", "worker")["spec"].update(replicas=1),
        lambda objects: removed(objects, "Deployment", "worker"),
    ],
    "scaling.demand": [
        lambda objects: removed(objects, "HorizontalPodAutoscaler"),
        lambda objects: one(objects, "HorizontalPodAutoscaler")["spec"]["metrics"][0]["external"]["target"].update(
            averageValue="7"
        ),
        lambda objects: one(objects, "HorizontalPodAutoscaler")["spec"]["metrics"][0]["external"]["metric"]["selector"][
            "matchLabels"
        ].update(queue="other"),
        lambda objects: one(objects, "HorizontalPodAutoscaler")["spec"].update(maxReplicas=1),
    ],
    "scaling.behavior": [
        lambda objects: one(objects, "HorizontalPodAutoscaler")["spec"]["behavior"].pop("scaleDown"),
        lambda objects: one(objects, "HorizontalPodAutoscaler")["spec"]["behavior"]["scaleUp"]["policies"][0].update(
            value=1
        ),
    ],
    "scaling.grace": [lambda objects: spec(objects, "worker").pop("terminationGracePeriodSeconds")],
    "secrets.leaks": [
        lambda objects: container(objects, "api").update(args=[f"--key={admin_key(objects)}"]),
        lambda objects: one(objects, "ConfigMap")["data"].update(key=admin_key(objects)),
        lambda objects: container(objects, "worker")["env"].append({"name": "A", "value": admin_key(objects)}),
    ],
    "secrets.variables": [
        lambda objects: container(objects, "api")["env"].append({"name": "COREPOINT_API_KEY", "value": "x"}),
        lambda objects: one(objects, "ConfigMap")["data"].update(AWS_SECRET_ACCESS_KEY="x"),
    ],
    "secrets.generated": [
        lambda objects: secret(objects)["data"].update({"worker-key": "bmV3"}),
        lambda objects: secret(objects)["data"].update({"corepoint-database-password": "bmV3"}),
    ],
}

"""What the values files promise about the cluster they are for."""

from __future__ import annotations

from collections.abc import Callable

from tests.chart.quantities import bytes_of, cpus_of
from tests.chart.rendering import Object, objects
from tests.chart.rules.scaling import SCALERS
from tests.chart.workloads import Workload, of_kind, workloads

NODE_CPUS = 2.0
NODE_BYTES = 16.0 * 2**30
# What Kubernetes itself asks for on a single node of k3s, kind or hack/cluster: DNS, metrics server, proxy.
SYSTEM_CPUS = 0.3
SYSTEM_BYTES = 0.4 * 2**30


def test_laptop_fits_two_cores_and_16_gib() -> None:
    """With one worker per queue and the migration still there; what scales further waits for room."""
    cpus, memory = requested(objects("laptop"))
    assert cpus + SYSTEM_CPUS <= NODE_CPUS
    assert memory + SYSTEM_BYTES <= NODE_BYTES


def requested(rendered: list[Object]) -> tuple[float, float]:
    """The sum of the requests at the smallest number of pods."""
    scaled = {one["spec"]["scaleTargetRef"]["name"]: one["spec"] for one in of_kind(rendered, *SCALERS)}
    cpus = memory = 0.0
    for one in workloads(rendered):
        if one.component in {"test", "trial"}:
            continue
        scaler = scaled.get(one.name, {})
        count = scaler.get("minReplicas", scaler.get("minReplicaCount", one.owner["spec"].get("replicas", 1)))
        cpus += count * _pod(one, "cpu", cpus_of)
        memory += count * _pod(one, "memory", bytes_of)
    return cpus, memory


def _pod(one: Workload, name: str, number: Callable[[str], float]) -> float:
    """The scheduler's figure: all containers together, or the largest of those that run before them."""
    together, before = (
        [number(container["resources"]["requests"][name]) for container in containers]
        for containers in (one.containers, one.spec.get("initContainers", []))
    )
    return max(sum(together), *before, 0.0)


def test_team_survives_the_loss_of_a_pod() -> None:
    made = {one.role: one for one in workloads(objects("team"))}
    for role in ("api", "dispatcher"):
        assert made[role].owner["spec"]["replicas"] >= 2
        assert made[role].spec["topologySpreadConstraints"]
    protected = {
        one["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
        for one in of_kind(objects("team"), "PodDisruptionBudget")
    }
    assert {"api", "dispatcher", "worker"} <= protected


def test_external_brings_no_server_of_its_own() -> None:
    rendered = objects("external")
    assert not {one.component for one in workloads(rendered)} & {"postgres", "minio", "mlflow", "prefect"}
    assert of_kind(rendered, "StatefulSet", "PersistentVolumeClaim") == []

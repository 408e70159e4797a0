"""An upgrade keeps data and secrets; an uninstallation leaves the volumes' claims and nothing else."""

from __future__ import annotations

from tests.cluster import documents
from tests.cluster.installation import RELEASE, Installation
from tests.cluster.kube import wait_for

# What every namespace has.
EVERYWHERE = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
KINDS = (
    "all,configmaps,secrets,ingresses,networkpolicies,pdb,hpa,roles,rolebindings,serviceaccounts,"
    "persistentvolumeclaims,sparkapplications"
)


def test_an_upgrade_keeps_data_and_secrets(installation: Installation) -> None:
    installation.create(documents.SMALL, "--no-run")
    secrets = installation.kube.object("secret", "corepoint-secrets")["data"]
    before = {run["id"]: run["state"] for run in installation.items("/v1/runs")}
    assert before
    installation.upgrade("workers.queues.default.autoscaling.max=2", "api.replicas=2")
    with installation.reachable():
        assert installation.kube.object("secret", "corepoint-secrets")["data"] == secrets
        assert {run["id"]: run["state"] for run in installation.items("/v1/runs")} == before
        assert installation.kube.object("hpa", f"{RELEASE}-worker-default")["spec"]["maxReplicas"] == 2
        run_id = installation.start_run("small")
        assert installation.ended(run_id, 180)["state"] == "succeeded"
        migrations = [job["metadata"]["name"] for job in installation.kube.objects("jobs")]
        assert f"{RELEASE}-migrate-r2" in migrations


def test_removal_leaves_only_the_claims(installation: Installation) -> None:
    kube = installation.kube
    kube.helm("uninstall", RELEASE, "--wait", "--timeout", "5m")

    def left() -> list[str] | None:
        names = [name for name in kube.run("get", KINDS, "-o", "name").split() if name not in EVERYWHERE]
        return names if all(name.startswith("persistentvolumeclaim/") for name in names) else None

    claims = wait_for(left, 180, "everything but the claims to be gone")
    assert claims
    services = kube.run("get", "apiservices", "-o", "name")
    assert "external.metrics" not in services
    cluster_wide = kube.run("get", "clusterroles,clusterrolebindings", "-o", "name")
    assert RELEASE not in cluster_wide

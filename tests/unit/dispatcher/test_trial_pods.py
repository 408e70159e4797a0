"""From a batch to the Kubernetes Job that Prefect's worker makes of it, by the chart's own template."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import Flow, FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL, temporary_settings
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from app.contracts.states import Isolation, QueueName
from app.db.models import Batch, Experiment, Run
from app.dispatcher.pods import PodTemplateError, job_variables, read_template
from app.settings import Settings

TEMPLATE = Path(__file__).parents[3] / "charts/corepoint/files/base-job-template.json"
SECRET = "somebody:hunter2"
GIB = 2**30


def variables(memory: int | None = GIB, **protocol: Any) -> dict[str, str]:
    spec = {
        "name": "taxi",
        "datasets": ["trips"],
        "algorithms": [{"algorithm": "sklearn-dbscan"}],
        "protocol": {"isolation": "pod", **protocol},
    }
    batch = Batch(
        id=UUID(int=3), queue=QueueName.HIGH_MEMORY, isolation=Isolation.POD, memory_limit_bytes=memory, attempt=2
    )
    settings = Settings.model_validate(
        {
            "queues": {"high-memory": {"memory_bytes": 32 * GIB, "threads": 4}},
            "pods": {"reserve_bytes": 512 << 20},
        }
    )
    return job_variables(batch, Run(id=UUID(int=2), spec=spec), Experiment(name="taxi"), settings)


async def job(**changes: Any) -> dict[str, Any]:
    """As the worker would send it to the API server."""
    with temporary_settings(
        {PREFECT_API_URL: "http://prefect/api", PREFECT_API_AUTH_STRING: SECRET, PREFECT_API_KEY: SECRET}
    ):
        async with get_client() as client:
            made = await KubernetesWorkerJobConfiguration.from_template_and_values(
                read_template(TEMPLATE), {**variables(), **changes}, client=client
            )
        flow_run = FlowRun(flow_id=UUID(int=9), name="taxi-b0-a2")
        made.prepare_for_flow_run(flow_run, None, Flow(name="measure-batch"), None, "pods-worker")
    found: dict[str, Any] = made.job_manifest
    return found


def container(of: dict[str, Any]) -> dict[str, Any]:
    (only,) = of["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = only
    return found


async def test_requests_are_limits_and_hold_a_sample_and_the_reserve() -> None:
    resources = container(await job())["resources"]
    assert resources["requests"] == resources["limits"]
    assert resources["limits"] | {"cpu": "4", "memory": str(GIB + (512 << 20))} == resources["limits"]


def test_without_a_limit_of_its_own_the_batch_gets_the_users_or_all_that_the_queue_has() -> None:
    assert variables(memory=None)["memory"] == str(32 * GIB + (512 << 20))
    assert variables(memory=None, limits={"memory": "2GiB"})["memory"] == str(2 * GIB + (512 << 20))


async def test_an_attempt_has_one_job_by_its_name_and_everything_says_whose_it_is() -> None:
    made = await job()
    assert made["metadata"]["name"] == f"batch-{UUID(int=3)}-a2"
    assert len(made["metadata"]["name"]) <= 63 - len("-12345")
    expected = {
        "app.kubernetes.io/name": "corepoint",
        "app.kubernetes.io/part-of": "corepoint",
        "app.kubernetes.io/component": "trial",
        "corepoint.io/experiment": "taxi",
        "corepoint.io/run": str(UUID(int=2)),
        "corepoint.io/batch": str(UUID(int=3)),
        "corepoint.io/attempt": "2",
        "corepoint.io/queue": "high-memory",
    }
    assert expected.items() <= made["metadata"]["labels"].items()
    assert expected.items() <= made["spec"]["template"]["metadata"]["labels"].items()


async def test_nothing_is_tried_again_behind_our_back_and_a_termination_is_a_crash() -> None:
    made = await job()
    assert made["spec"]["backoffLimit"] == 0
    assert made["spec"]["ttlSecondsAfterFinished"] == 120
    assert made["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    environment = {one["name"]: one.get("value") for one in container(made)["env"]}
    assert environment["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"] == "crash"
    assert container(made)["args"] == ["python", "-m", "prefect.engine"]


async def test_no_secret_is_in_the_job_and_each_comes_by_reference_once() -> None:
    made = await job()
    assert "hunter2" not in json.dumps(made)
    names = [one["name"] for one in container(made)["env"]]
    assert len(names) == len(set(names))
    assert "PREFECT_API_KEY" not in names
    referred = {one["name"] for one in container(made)["env"] if "secretKeyRef" in one.get("valueFrom", {})}
    assert {"PREFECT_API_AUTH_STRING", "COREPOINT_API_KEY", "COREPOINT_OBJECTS__SECRET_KEY"} <= referred
    assert container(made)["envFrom"] == [{"configMapRef": {"name": "corepoint-config"}}]


async def test_the_pod_is_restricted() -> None:
    made = await job()
    pod = made["spec"]["template"]["spec"]
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(made)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    written = {mount["mountPath"]: mount["name"] for mount in container(made)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert written.keys() == {"/tmp", "/scratch"}  # noqa: S108 - of the pod
    assert all("emptyDir" in volumes[name] for name in written.values())


def test_every_variable_is_used_and_every_placeholder_is_a_variable() -> None:
    template = read_template(TEMPLATE)
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert used == set(template["variables"]["properties"])
    assert variables().keys() <= used


def test_a_template_that_cannot_be_had_says_which_setting_names_it(tmp_path: Path) -> None:
    with pytest.raises(PodTemplateError, match="COREPOINT_PREFECT__POD_TEMPLATE"):
        read_template(None)
    with pytest.raises(PodTemplateError, match="cannot be read"):
        read_template(tmp_path / "missing.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(PodTemplateError, match="no base job template"):
        read_template(tmp_path / "list.json")

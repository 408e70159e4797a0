"""Pods that no template renders: the Job of a trial in its own pod, driver and executors of Spark."""

from __future__ import annotations

import json
import re
from typing import Any

from app.contracts.assignment import BatchAssignment
from app.contracts.experiment import Protocol
from app.contracts.states import QueueName
from tests.chart.rendering import CHART, NAMESPACE, Object
from workers.settings import WorkerSettings
from workers.spark.submit.application import spark_application
from workers.spark.submit.sizing import sizes

TEMPLATE = CHART / "files/base-job-template.json"
_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


# prefect-kubernetes 0.8.0 demands them in the pod's specification, where the API server ignores them
# (_get_base_job_manifest in its worker.py); a strict reading would refuse the Job for that alone.
MISPLACED = ("parallelism", "completions")


def trial_job() -> Object:
    """What prefect-kubernetes makes of the base job template and its defaults."""
    template = json.loads(TEMPLATE.read_text())
    defaults = {name: entry.get("default", "x") for name, entry in template["variables"]["properties"].items()}
    configuration = _filled(template["job_configuration"], defaults)
    job: Object = configuration["job_manifest"]
    job["metadata"]["labels"] = configuration["labels"]
    job["spec"]["template"]["metadata"] = {"labels": configuration["labels"]}
    # The command replaces that of the container, the variables come before the container's own.
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["args"] = configuration["command"].split()
    own = [{"name": name, "value": value} for name, value in configuration["env"].items() if value is not None]
    container["env"] = own + container["env"]
    for name in MISPLACED:
        del job["spec"]["template"]["spec"][name]
    return job


def _filled(template: Any, values: dict[str, Any]) -> Any:
    if isinstance(template, dict):
        return {key: _filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, values) for value in template]
    if isinstance(template, str) and (whole := re.fullmatch(r"{{ (\w+) }}", template)):
        return values[whole[1]]
    return template


def application(settings: WorkerSettings) -> Object:
    """The SparkApplication that a worker with these settings makes for a batch."""
    batch = BatchAssignment(
        batch_id=_ID,
        run_id=_ID,
        attempt=1,
        queue=QueueName.SPARK,
        token="unused",
        heartbeat_seconds=3,
        lease_seconds=90,
        memory_limit_bytes=2**32,
        memory_limit_is_users=False,
        protocol=Protocol(),
        order_seed=0,
        trials=[],
    )
    made: Object = spark_application(batch, sizes(batch, settings.spark), settings.spark, settings.objects)
    return made


def spark_pods(made: Object) -> list[Object]:
    """Driver and executor as the operator makes them, as pods of the namespace."""
    pods = []
    for role in ("driver", "executor"):
        part = made["spec"][role]
        spec = json.loads(json.dumps(part["template"]["spec"]))
        spec["serviceAccountName"] = part["serviceAccount"]
        amounts = {"memory": part["memory"], "cpu": part["coreRequest"]}
        spec["containers"][0] |= {
            "image": made["spec"]["image"],
            "resources": {"requests": amounts, "limits": {**amounts, "cpu": part.get("coreLimit")}},
        }
        labels = {**made["metadata"]["labels"], **part["labels"]}
        metadata = {"name": f"{made['metadata']['name']}-{role}", "namespace": NAMESPACE, "labels": labels}
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    return pods

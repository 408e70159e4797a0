"""A stand-in for the Spark operator, for clusters that cannot have it: `python -m tests.cluster.spark_stand_in`.

It is no operator: it knows one namespace and the fields that corepoint writes, does little at a time, and forgets all
when it ends. But drivers and executors are real pods: PySpark's own spark-submit makes them, with the settings that the
operator (v2.5) would hand to it, and the status it writes has the operator's words. The same tests run against both.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyspark
import yaml
from kubernetes import client, config
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

GROUP, VERSION, PLURAL = "sparkoperator.k8s.io", "v1beta2", "sparkapplications"
LABEL = "sparkoperator.k8s.io/app-name"
POLL_SECONDS = 1.0
SUBMIT_SECONDS = 120.0
SUBMITS_AT_ONCE = 2
PHASES = {"Pending": "SUBMITTED", "Running": "RUNNING", "Succeeded": "COMPLETED", "Failed": "FAILED"}
EXECUTOR_STATES = {"Pending": "PENDING", "Running": "RUNNING", "Succeeded": "COMPLETED", "Failed": "FAILED"}
# spark-submit hands the first two on to the application; with credentials in its environment, they would go along.
UNWANTED = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON", "SPARK_CONF_DIR", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def submit_arguments(application: dict[str, Any], master: str, submission_id: str, folder: Path) -> list[str]:
    """What the operator would call spark-submit with. Pod templates are written into `folder`."""
    name, namespace = application["metadata"]["name"], application["metadata"]["namespace"]
    spec = application["spec"]
    conf = {
        "spark.kubernetes.namespace": namespace,
        "spark.kubernetes.container.image": spec["image"],
        "spark.kubernetes.container.image.pullPolicy": spec.get("imagePullPolicy", "IfNotPresent"),
        "spark.kubernetes.submission.waitAppCompletion": "false",
        **spec.get("sparkConf", {}),
        "spark.kubernetes.driver.pod.name": f"{name}-driver",
        "spark.executor.instances": str(spec["executor"]["instances"]),
    }
    if spec.get("imagePullSecrets"):
        conf["spark.kubernetes.container.image.pullSecrets"] = ",".join(spec["imagePullSecrets"])
    for role, container in (("driver", "spark-kubernetes-driver"), ("executor", "spark-kubernetes-executor")):
        conf |= _role_conf(role, spec[role], application, submission_id)
        if "template" in spec[role]:
            file = folder / f"{role}.yaml"
            file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", **spec[role]["template"]}))
            conf[f"spark.kubernetes.{role}.podTemplateFile"] = str(file)
            conf[f"spark.kubernetes.{role}.podTemplateContainerName"] = container
    settings = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    start = ["--master", master, "--deploy-mode", spec["mode"], "--name", name]
    return [*start, *settings, spec["mainApplicationFile"], *spec.get("arguments", [])]


def _role_conf(role: str, pod: dict[str, Any], application: dict[str, Any], submission_id: str) -> dict[str, str]:
    labels = {
        **application["metadata"].get("labels", {}),
        **pod.get("labels", {}),
        LABEL: application["metadata"]["name"],
        "sparkoperator.k8s.io/launched-by-spark-operator": "true",
        "sparkoperator.k8s.io/submission-id": submission_id,
    }
    conf = {f"spark.kubernetes.{role}.label.{key}": value for key, value in labels.items()}
    fields = {
        "cores": f"spark.{role}.cores",
        "memory": f"spark.{role}.memory",
        "memoryOverhead": f"spark.{role}.memoryOverhead",
        "coreRequest": f"spark.kubernetes.{role}.request.cores",
        "coreLimit": f"spark.kubernetes.{role}.limit.cores",
        "serviceAccount": f"spark.kubernetes.authenticate.{role}.serviceAccountName",
    }
    return conf | {setting: str(pod[field]) for field, setting in fields.items() if field in pod}


def application_status(driver: dict[str, Any] | None, executors: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """What the operator writes once spark-submit has made a driver."""
    phase = driver["status"].get("phase", "Pending") if driver is not None else "Failed"
    message = "" if driver is not None else "driver pod not found"
    for container in (driver or {}).get("status", {}).get("containerStatuses") or []:
        ended = container.get("state", {}).get("terminated") or {}
        if ended.get("exitCode"):
            message = f"driver container failed with ExitCode: {ended['exitCode']}, Reason: {ended.get('reason', '')}"
    return {
        "applicationState": {"state": PHASES.get(phase, "UNKNOWN"), "errorMessage": message},
        "driverInfo": {"podName": f"{name}-driver"},
        "executorState": {
            pod["metadata"]["name"]: EXECUTOR_STATES.get(pod["status"].get("phase", ""), "UNKNOWN") for pod in executors
        },
    }


class StandIn:
    """Looks at all applications of a namespace once a second, until it is stopped."""

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._api = config.new_client_from_config(kubeconfig)  # type: ignore[no-untyped-call]
        self._custom, self._core = client.CustomObjectsApi(self._api), client.CoreV1Api(self._api)
        self._folder = Path(tempfile.mkdtemp(prefix="spark-stand-in-"))
        self._submitting: dict[str, threading.Thread] = {}
        self._known: dict[str, str] = {}
        self._slots = threading.Semaphore(SUBMITS_AT_ONCE)
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(POLL_SECONDS):
            try:
                self._look()
            except (ApiException, HTTPError) as error:
                print(f"the Kubernetes API does not answer: {error}", flush=True)  # noqa: T201
        for thread in self._submitting.values():
            thread.join(SUBMIT_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _look(self) -> None:
        found = self._custom.list_namespaced_custom_object(GROUP, VERSION, self._namespace, PLURAL)
        applications = {item["metadata"]["name"]: item for item in found["items"]}
        pods = self._api.sanitize_for_serialization(
            self._core.list_namespaced_pod(self._namespace, label_selector=LABEL)
        )["items"]
        for pod in pods:
            # By uid: an application made again under its old name is another one.
            if pod["metadata"]["labels"][LABEL] not in applications:
                self._delete_driver(pod)
        for name in [name for name in self._known if name not in applications]:
            del self._known[name]
        for name, application in applications.items():
            self._bring_on(name, application, [pod for pod in pods if pod["metadata"]["labels"][LABEL] == name])

    def _bring_on(self, name: str, application: dict[str, Any], pods: list[dict[str, Any]]) -> None:
        state = application.get("status", {}).get("applicationState", {}).get("state", "")
        uid = application["metadata"]["uid"]
        if state in {"COMPLETED", "FAILED"}:
            self._expire(application)
        elif self._known.get(name) != uid and not state:
            self._known[name] = uid
            thread = threading.Thread(target=self._submit, args=(application,), daemon=True)
            self._submitting[name] = thread
            thread.start()
        elif name not in self._submitting or not self._submitting[name].is_alive():
            self._write(name, self._observed(name, pods))

    def _observed(self, name: str, pods: list[dict[str, Any]]) -> dict[str, Any]:
        roles = {role: [pod for pod in pods if pod["metadata"]["labels"].get("spark-role") == role]
                 for role in ("driver", "executor")}  # fmt: skip
        return application_status(next(iter(roles["driver"]), None), roles["executor"], name)

    def _submit(self, application: dict[str, Any]) -> None:
        name, submission_id = application["metadata"]["name"], str(uuid4())
        folder = self._folder / submission_id
        folder.mkdir(parents=True)
        arguments = submit_arguments(application, f"k8s://{self._api.configuration.host}", submission_id, folder)
        environment = {key: value for key, value in os.environ.items() if key not in UNWANTED}
        environment["KUBECONFIG"] = self._kubeconfig
        command = [str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), *arguments]
        with self._slots:
            try:
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, timeout=SUBMIT_SECONDS, check=False
                )
                error = "" if done.returncode == 0 else f"failed to run spark-submit: {done.stderr[-64_000:]}"
            except subprocess.TimeoutExpired:
                error = f"spark-submit did not end in {SUBMIT_SECONDS:g} s"
        state = "FAILED" if error else "SUBMITTED"
        print(f"{datetime.now(UTC):%H:%M:%S} {name}: {state} {error}", flush=True)  # noqa: T201
        self._write(
            name,
            {
                "submissionID": submission_id,
                "applicationState": {"state": state, "errorMessage": error},
                "driverInfo": {"podName": f"{name}-driver"},
            },
        )

    def _write(self, name: str, status: dict[str, Any]) -> None:
        try:
            self._custom.patch_namespaced_custom_object_status(
                GROUP, VERSION, self._namespace, PLURAL, name, {"status": status}
            )
        except ApiException as error:
            if error.status != 404:
                raise

    def _expire(self, application: dict[str, Any]) -> None:
        seconds = application["spec"].get("timeToLiveSeconds")
        born = datetime.fromisoformat(application["metadata"]["creationTimestamp"])
        if seconds is not None and (datetime.now(UTC) - born).total_seconds() > seconds:
            self._custom.delete_namespaced_custom_object(
                GROUP, VERSION, self._namespace, PLURAL, application["metadata"]["name"]
            )

    def _delete_driver(self, pod: dict[str, Any]) -> None:
        """Its executors, its service and its ConfigMaps are owned by it, and go with it."""
        if pod["metadata"]["labels"].get("spark-role") != "driver" or "deletionTimestamp" in pod["metadata"]:
            return
        try:
            self._core.delete_namespaced_pod(pod["metadata"]["name"], self._namespace)
        except ApiException as error:
            if error.status != 404:
                raise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--namespace", required=True)
    options = parser.parse_args()
    stand_in = StandIn(options.kubeconfig, options.namespace)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stand_in.stopped.set())
    stand_in.run()


if __name__ == "__main__":
    main()

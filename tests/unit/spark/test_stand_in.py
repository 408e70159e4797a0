"""The stand-in of the Spark operator: what it calls spark-submit with, and the words of its status."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.cluster.spark_stand_in import application_status, submit_arguments

APPLICATION = yaml.safe_load((Path(__file__).parent / "golden" / "spark_application.yaml").read_text())
NAME = APPLICATION["metadata"]["name"]


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    return submit_arguments(APPLICATION, "k8s://https://api:6443", "id-1", tmp_path)


def conf(arguments: list[str]) -> dict[str, str]:
    values = [value for flag, value in pairwise(arguments) if flag == "--conf"]
    return dict(value.split("=", 1) for value in values)


def test_it_submits_as_the_operator_would(arguments: list[str]) -> None:
    start = ["--master", "k8s://https://api:6443", "--deploy-mode", "cluster", "--name", NAME]
    assert arguments[: len(start)] == start
    assert arguments[-2:] == [APPLICATION["spec"]["mainApplicationFile"], *APPLICATION["spec"]["arguments"]]
    found = conf(arguments)
    assert found["spark.kubernetes.namespace"] == "bench"
    assert found["spark.kubernetes.driver.pod.name"] == f"{NAME}-driver"
    assert found["spark.kubernetes.submission.waitAppCompletion"] == "false"
    assert found["spark.executor.instances"] == "2"
    assert (found["spark.executor.memory"], found["spark.executor.memoryOverhead"]) == ("896m", "896m")
    assert found["spark.kubernetes.executor.limit.cores"] == found["spark.kubernetes.executor.request.cores"] == "1"
    assert found["spark.kubernetes.authenticate.driver.serviceAccountName"] == "corepoint-spark-driver"
    assert found["spark.hadoop.fs.s3a.endpoint"] == "http://minio:9000"


def test_labels_of_the_application_reach_its_pods_and_the_pods_own_win(arguments: list[str]) -> None:
    found = conf(arguments)
    for role in ("driver", "executor"):
        label = f"spark.kubernetes.{role}.label"
        assert found[f"{label}.corepoint.io/attempt"] == "3"
        assert found[f"{label}.app.kubernetes.io/component"] == f"spark-{role}"
        assert found[f"{label}.sparkoperator.k8s.io/app-name"] == NAME
        assert found[f"{label}.sparkoperator.k8s.io/submission-id"] == "id-1"


def test_templates_are_written_whole(arguments: list[str]) -> None:
    found = conf(arguments)
    for role in ("driver", "executor"):
        template = yaml.safe_load(Path(found[f"spark.kubernetes.{role}.podTemplateFile"]).read_text())
        assert template["spec"] == APPLICATION["spec"][role]["template"]["spec"]
        container = found[f"spark.kubernetes.{role}.podTemplateContainerName"]
        assert template["spec"]["containers"][0]["name"] == container


@pytest.mark.parametrize(
    ("phase", "state"),
    [("Pending", "SUBMITTED"), ("Running", "RUNNING"), ("Succeeded", "COMPLETED"), ("Failed", "FAILED")],
)
def test_the_drivers_phase_is_the_applications_state(phase: str, state: str) -> None:
    ended = {"exitCode": 1, "reason": "Error"} if phase == "Failed" else {"exitCode": 0}
    driver = {
        "metadata": {"name": "d"},
        "status": {"phase": phase, "containerStatuses": [{"state": {"terminated": ended}}]},
    }
    executor = {"metadata": {"name": "e-1"}, "status": {"phase": "Running"}}
    found = application_status(driver, [executor], NAME)
    assert found["applicationState"]["state"] == state
    assert ("ExitCode: 1" in found["applicationState"]["errorMessage"]) == (state == "FAILED")
    assert found["driverInfo"] == {"podName": f"{NAME}-driver"}
    assert found["executorState"] == {"e-1": "RUNNING"}


def test_a_driver_that_is_gone_has_failed() -> None:
    assert application_status(None, [], NAME)["applicationState"] == {
        "state": "FAILED",
        "errorMessage": "driver pod not found",
    }

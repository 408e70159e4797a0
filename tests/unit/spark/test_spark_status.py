"""What states of applications and pods mean, and what errors of Spark say about a sample: tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.contracts.failures import FailureCode
from workers.settings import SparkSettings
from workers.spark.errors import diagnose
from workers.spark.submit.order import GAVE_BACK
from workers.spark.submit.status import (
    Observation,
    PodView,
    end_failure,
    gave_back,
    last_words,
    loss,
    lost_executors,
    start_failure,
    still_lost,
    telling,
    waits_for,
)

SETTINGS = SparkSettings(pickup_seconds=60, start_seconds=300)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(role: str = "driver", phase: str = "Pending", age: float = 0.0, name: str = "d", **state: Any) -> PodView:
    """As the API tells of it. state: waiting={…} or terminated={…}, conditions=[…]."""
    conditions = state.pop("conditions", [])
    return PodView.of(
        {
            "metadata": {
                "name": name,
                "labels": {"spark-role": role},
                "creationTimestamp": (NOW - timedelta(seconds=age)).isoformat().replace("+00:00", "Z"),
            },
            "status": {
                "phase": phase,
                "conditions": conditions,
                **({"containerStatuses": [{"state": state}]} if state else {}),
            },
        },
        NOW,
    )


def seen(state: str, *pods: PodView, age: float = 10.0, error: str = "") -> Observation:
    return Observation(state, error, age, pods)


UNSCHEDULABLE = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]
PULL = {"reason": "ImagePullBackOff", "message": "Back-off pulling image x"}
CREATING = {"reason": "ContainerCreating"}


@pytest.mark.parametrize(
    ("observation", "expected", "words"),
    [
        (seen("", age=59), None, ""),
        (seen("", age=61), FailureCode.SPARK_SUBMIT, "no Spark operator picked the application up in 60 s"),
        (seen("SUBMITTED", age=61), None, ""),
        (seen("SUBMISSION_FAILED", age=301, error="x"), FailureCode.SPARK_SUBMIT, "SUBMISSION_FAILED"),
        (seen("", pod(age=70, waiting=CREATING), age=100), None, ""),
        (seen("SUBMITTED", pod(age=5, waiting=PULL)), None, ""),
        (seen("SUBMITTED", pod(age=30, waiting=PULL)), FailureCode.IMAGE_PULL, "Back-off pulling image x"),
        (
            seen("SUBMITTED", pod(age=30, waiting={"reason": "CreateContainerConfigError", "message": "no secret"})),
            FailureCode.SPARK_SUBMIT,
            "no secret",
        ),
        (seen("SUBMITTED", pod(age=299, conditions=UNSCHEDULABLE)), None, ""),
        (seen("SUBMITTED", pod(age=301, conditions=UNSCHEDULABLE)), FailureCode.UNSCHEDULABLE, "0/1 nodes"),
        (seen("SUBMITTED", pod(age=301, waiting=CREATING)), FailureCode.SPARK_SUBMIT, "ContainerCreating"),
        (seen("RUNNING", pod(phase="Running", age=9_999)), None, ""),
        (seen("FAILED", pod(phase="Failed", age=9_999)), None, ""),
        (seen("SUBMITTED", pod(phase="Failed", age=9_999, terminated={"exitCode": 1})), None, ""),
    ],
)
def test_whether_an_application_will_start(observation: Observation, expected: FailureCode | None, words: str) -> None:
    failure = start_failure(observation, SETTINGS)
    assert (failure and failure.code) == expected
    if failure is not None:
        assert words in failure.message
        assert failure.hint


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        (seen("FAILED", error="failed to run spark-submit: pods is forbidden: violates PodSecurity"), "spark_submit"),
        (seen("FAILED", error='pods "d" is forbidden: exceeded quota: small'), "unschedulable"),
        (seen("FAILED", error="driver pod not found"), None),
        (seen("FAILED", pod(phase="Failed", terminated={"exitCode": 137, "reason": "OOMKilled"})), "oom_killed"),
        (seen("FAILED", pod(phase="Failed", terminated={"exitCode": 1, "reason": "Error"})), None),
        (seen("COMPLETED", pod(phase="Succeeded", terminated={"exitCode": 0, "reason": "Completed"})), None),
    ],
)
def test_why_an_application_left_no_outcome(observation: Observation, expected: str | None) -> None:
    """None: nothing that a further attempt would have to meet again."""
    failure = end_failure(observation)
    assert (failure and failure.code.value) == expected


def test_a_driver_that_was_asked_to_stop_says_so_with_its_exit_code() -> None:
    assert gave_back(seen("FAILED", pod(phase="Failed", terminated={"exitCode": GAVE_BACK})))
    assert not gave_back(seen("FAILED", pod(phase="Failed", terminated={"exitCode": 1})))
    assert not gave_back(seen("FAILED"))


def test_last_words_name_the_pod_and_how_it_ended() -> None:
    ended = pod(phase="Failed", terminated={"exitCode": 137, "reason": "OOMKilled"})
    assert last_words(seen("FAILED", ended)) == "the application is FAILED; driver d: exit code 137 (OOMKilled)"
    assert last_words(seen("")) == "the application is gone; there is no driver"


EVICTING = [
    {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
]
GONE = {"exitCode": 137, "reason": "Error"}


@pytest.mark.parametrize(
    ("observation", "code", "words"),
    [
        (seen("FAILED", pod(phase="Failed", terminated=GONE)), "crash", "driver d: exit code 137 (Error)"),
        (
            seen("FAILED", pod(phase="Failed", terminated=GONE, conditions=EVICTING)),
            "evicted",
            "EvictionByEvictionAPI: Eviction API: evicting",
        ),
        (seen("FAILED", error="driver pod not found"), "lost", "driver pod not found"),
    ],
)
def test_a_lost_attempt_says_what_took_its_driver(observation: Observation, code: str, words: str) -> None:
    failure = loss(observation)
    assert failure.code.value == code
    assert words in failure.message
    assert failure.hint


@pytest.mark.parametrize(
    ("observation", "code"),
    [
        (seen("RUNNING", pod(phase="Running")), None),
        (seen("SUBMITTED", pod(waiting=CREATING)), None),
        (seen("SUBMITTED", pod(waiting=PULL)), "image_pull"),
        (seen("RUNNING", pod(phase="Running"), pod("executor", conditions=UNSCHEDULABLE)), "unschedulable"),
    ],
)
def test_what_a_driver_or_an_executor_waits_for_is_known_before_it_is_given_up(
    observation: Observation, code: str | None
) -> None:
    failure = waits_for(observation)
    assert (failure and failure.code.value) == code


def executor(name: str, phase: str = "Running", **state: Any) -> PodView:
    return pod("executor", phase, name=name, **state)


BOTH = seen("RUNNING", executor("a-exec-1"), executor("a-exec-2"))


@pytest.mark.parametrize(
    ("after", "lost"),
    [
        (BOTH, {}),
        (seen("RUNNING", executor("a-exec-1")), {"a-exec-2": "its pod is gone"}),
        (
            seen("RUNNING", executor("a-exec-1"), executor("a-exec-2", "Failed", terminated=GONE)),
            {"a-exec-2": "Error, exit code 137"},
        ),
        # The session has ended, and the next one has executors of its own.
        (seen("RUNNING", executor("a-s2-exec-1"), executor("a-s2-exec-2")), {}),
        (seen("RUNNING"), {}),
    ],
)
def test_an_executor_is_lost_if_its_session_goes_on_without_it(after: Observation, lost: dict[str, str]) -> None:
    suspects = lost_executors(BOTH.working, after)
    assert suspects == lost
    assert still_lost(suspects, after) == lost
    assert still_lost(suspects, seen("RUNNING")) == {}, "it was the first to go when the session ended"


def test_executors_count_once_they_have_run() -> None:
    pods = [pod("executor", "Running", name="e-2"), pod("executor", "Pending", name="e-1"), pod()]
    assert seen("RUNNING", *pods).executors == ["e-2"]


def test_of_a_stack_trace_the_telling_lines_remain() -> None:
    trace = (
        "failed to run spark-submit: 26/01/01 INFO Start\n26/01/01 00:00:00 INFO Shutdown: bye\n"
        "Exception in thread main: pods is forbidden\n\tat a.B.c(D.java:1)\n\t... 3 more\nCaused by: x\n"
    )
    assert telling(trace).splitlines()[-2:] == ["Exception in thread main: pods is forbidden", "Caused by: x"]


LOST = "Job aborted due to stage failure: Task 0 in stage 3.0 failed 1 times, most recent failure: Lost task 0.0"
EXITED = "ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: The executor exited"


@pytest.mark.parametrize(
    ("text", "code", "outside"),
    [
        (f"{LOST}\n{EXITED} with exit code 137(SIGKILL, possible container OOM).", FailureCode.MEMOUT, False),
        (f"{LOST}: java.lang.OutOfMemoryError: Java heap space", FailureCode.MEMOUT, False),
        (f"{EXITED} with exit code 52(Uncaught exception, and OutOfMemoryError).", FailureCode.MEMOUT, False),
        ("PythonException: Traceback\nMemoryError\n", FailureCode.MEMOUT, False),
        (f"{EXITED} with exit code 143(SIGTERM).", FailureCode.KILLED, True),
        ("ExecutorLostFailure: Executor heartbeat timed out after 125 s", FailureCode.KILLED, True),
        ("Job 3 cancelled because SparkContext was shut down", FailureCode.KILLED, True),
        ("ValueError: a point is not 2 float64 values", None, False),
    ],
)
def test_what_an_error_of_spark_says_about_a_sample(text: str, code: FailureCode | None, outside: bool) -> None:
    diagnosis = diagnose(RuntimeError(text), "fit", {"limit_bytes": 5}, lambda: 0)
    assert (diagnosis and diagnosis.failure.code) == code
    if diagnosis is not None:
        assert diagnosis.outside is outside
        assert diagnosis.failure.detail["limit_bytes"] == 5
        assert "in the phase fit" in diagnosis.failure.message


@pytest.mark.parametrize(("kills", "code"), [(1, FailureCode.MEMOUT), (0, FailureCode.CRASH)])
def test_a_python_worker_that_is_gone_was_killed_for_memory_if_its_executor_says_so(
    kills: int, code: FailureCode
) -> None:
    error = RuntimeError(f"{LOST}: org.apache.spark.SparkException: Python worker exited unexpectedly (crashed).")
    diagnosis = diagnose(error, "fit", {}, lambda: kills)
    assert diagnosis is not None
    assert (diagnosis.failure.code, diagnosis.outside) == (code, False)

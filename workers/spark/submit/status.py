"""What the states of a SparkApplication and its pods mean for the batch. Pure: it is told everything, and the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.contracts.failures import Failure, FailureCode
from workers.settings import SparkSettings
from workers.spark.submit.order import GAVE_BACK

ENDED = frozenset({"COMPLETED", "FAILED"})
"""With restartPolicy Never. FAILING, SUCCEEDING and SUBMISSION_FAILED pass on to one of the two."""
PATIENCE_SECONDS = 20.0
"""A first pull may fail and the second succeed; a Secret may come a moment later than its pod."""
TELLING = 1_500
_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
_BROKEN = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_DRIVER_MEMORY_HINT = "Raise the memory of Spark's driver (spark.driver in the chart's values)."


@dataclass(frozen=True)
class PodView:
    """What of a pod matters here."""

    name: str
    role: str
    phase: str
    age_seconds: float
    waiting: str | None = None
    ended: str | None = None
    exit_code: int | None = None
    message: str = ""
    unschedulable: str | None = None
    disrupted: str | None = None
    is_terminating: bool = False

    @property
    def is_over(self) -> bool:
        return self.phase in {"Succeeded", "Failed"}

    @classmethod
    def of(cls, pod: Mapping[str, Any], now: datetime) -> PodView:
        """From the API's JSON."""
        metadata, status = pod["metadata"], pod.get("status", {})
        containers: Sequence[Mapping[str, Any]] = status.get("containerStatuses") or [{}]
        state = containers[0].get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        born = datetime.fromisoformat(metadata["creationTimestamp"])
        return cls(
            name=metadata["name"],
            role=metadata.get("labels", {}).get("spark-role", ""),
            phase=status.get("phase", "Pending"),
            age_seconds=(now - born).total_seconds(),
            waiting=waiting.get("reason"),
            ended=ended.get("reason") or status.get("reason"),
            exit_code=ended.get("exitCode"),
            message=waiting.get("message") or ended.get("message") or status.get("message") or "",
            unschedulable=_unschedulable(status.get("conditions") or []),
            disrupted=_disrupted(status),
            is_terminating="deletionTimestamp" in metadata,
        )


@dataclass(frozen=True)
class Observation:
    """`state`: of the application, empty as long as no operator has written one. `age_seconds`: since it was made."""

    state: str
    error: str
    age_seconds: float
    pods: Sequence[PodView]

    @property
    def driver(self) -> PodView | None:
        return next((pod for pod in self.pods if pod.role == "driver"), None)

    @property
    def executors(self) -> list[str]:
        """Names of the executors whose container has run."""
        return sorted(pod.name for pod in self.pods if pod.role == "executor" and pod.phase != "Pending")

    @property
    def working(self) -> dict[str, PodView]:
        """Executors that run and are not being taken away."""
        return {
            pod.name: pod
            for pod in self.pods
            if pod.role == "executor" and pod.phase == "Running" and not pod.is_terminating
        }

    @property
    def is_over(self) -> bool:
        return self.state in ENDED or (self.driver is not None and self.driver.is_over)


def start_failure(seen: Observation, settings: SparkSettings) -> Failure | None:
    """Why this application will not start, or has not in time; None as long as there is hope."""
    if seen.is_over:
        return None
    if seen.driver is None:
        return _without_driver(seen, settings)
    return _pending(seen.driver, seen.state, settings) if seen.driver.phase == "Pending" else None


def _pending(driver: PodView, state: str, settings: SparkSettings) -> Failure | None:
    detail = {"pod": driver.name, "state": state}
    if driver.age_seconds >= PATIENCE_SECONDS and driver.waiting in _IMAGE:
        text = f"the driver's image cannot be had: {driver.waiting}: {driver.message}"
        return Failure.of(FailureCode.IMAGE_PULL, text, **detail)
    if driver.age_seconds >= PATIENCE_SECONDS and driver.waiting in _BROKEN:
        text = f"the driver's container cannot start: {driver.waiting}: {driver.message}"
        return Failure.of(FailureCode.SPARK_SUBMIT, text, **detail)
    if driver.age_seconds < settings.start_seconds:
        return None
    if driver.unschedulable is not None:
        text = f"no node took the driver in {settings.start_seconds:g} s: {driver.unschedulable}"
        return Failure.of(FailureCode.UNSCHEDULABLE, text, **detail)
    text = f"the driver had not started after {settings.start_seconds:g} s: {driver.waiting or 'no reason is given'}"
    return Failure.of(FailureCode.SPARK_SUBMIT, text, **detail)


def waits_for(seen: Observation) -> Failure | None:
    """What keeps the driver, or an executor, from starting; there may be hope yet."""
    for pod in seen.pods:
        if pod.phase != "Pending":
            continue
        if pod.waiting in _IMAGE:
            text = f"the image of {pod.name} cannot be had: {pod.waiting}: {pod.message}"
            return Failure.of(FailureCode.IMAGE_PULL, text)
        if pod.unschedulable is not None:
            text = f"no node has room for {pod.name}: {pod.unschedulable}"
            return Failure.of(FailureCode.UNSCHEDULABLE, text)
    return None


def lost_executors(before: Mapping[str, PodView], seen: Observation) -> dict[str, str]:
    """Executors of `before` that work no more, by name, and why.

    A session that ends takes all its executors along, though not at the same moment. So one counts as lost only while
    another one of the same session works, now and at the next look (`still_lost`).
    """
    working, pods = seen.working, {pod.name: pod for pod in seen.pods}
    gone = [name for name in before if name not in working and _has_peers(name, seen)]
    return {name: _why_lost(pods.get(name) or before[name], is_there=name in pods) for name in gone}


def still_lost(suspects: Mapping[str, str], seen: Observation) -> dict[str, str]:
    """Those of the executors that an earlier look missed whose session goes on without them."""
    return {name: why for name, why in suspects.items() if _has_peers(name, seen)}


def _has_peers(executor: str, seen: Observation) -> bool:
    return _session(executor) in {_session(name) for name in seen.working}


def _session(executor: str) -> str:
    """Spark names its executors `<prefix>-exec-<number>`; a session of ours has a prefix of its own."""
    return executor.rpartition("-exec-")[0]


def _why_lost(pod: PodView, *, is_there: bool) -> str:
    if pod.disrupted is not None:
        return pod.disrupted
    if pod.ended is not None:
        how = f", exit code {pod.exit_code}" if pod.exit_code is not None else ""
        return f"{pod.ended}{how}"
    return "its pod is being deleted" if is_there else "its pod is gone"


def loss(seen: Observation) -> Failure:
    """Why an application that left no outcome is a lost attempt, which the next one goes on from."""
    driver, words = seen.driver, last_words(seen)
    if driver is not None and driver.disrupted is not None:
        return Failure.of(FailureCode.EVICTED, words)
    if driver is not None and driver.exit_code:
        hint = "The driver's log has its last words; the worker's log has copied them."
        return Failure.of(FailureCode.CRASH, words, hint)
    return Failure.of(FailureCode.LOST, words)


def end_failure(seen: Observation) -> Failure | None:
    """Why an application that has ended left no outcome, if the reason is one that a next attempt would meet again."""
    driver = seen.driver
    if driver is None:
        code = FailureCode.UNSCHEDULABLE if "exceeded quota" in seen.error else FailureCode.SPARK_SUBMIT
        # Deleted while it ran, or never made: the operator's word tells which.
        return Failure.of(code, telling(seen.error), state=seen.state) if _was_refused(seen.error) else None
    if driver.ended == "OOMKilled":
        text = f"the kernel killed the driver {driver.name} (OOMKilled) at the memory limit of its container"
        return Failure.of(FailureCode.OOM_KILLED, text, _DRIVER_MEMORY_HINT, pod=driver.name)
    return None


def gave_back(seen: Observation) -> bool:
    """The driver was asked to stop, by a node that drains for example, and did so in order."""
    return seen.driver is not None and seen.driver.exit_code == GAVE_BACK


def last_words(seen: Observation) -> str:
    """How an application ended, in one sentence."""
    driver = seen.driver
    if driver is None:
        return f"the application is {seen.state or 'gone'}; {telling(seen.error) or 'there is no driver'}"
    how = f"exit code {driver.exit_code}" if driver.exit_code is not None else driver.phase
    reason = f" ({driver.ended})" if driver.ended else ""
    taken = f"; {driver.disrupted}" if driver.disrupted is not None else ""
    return f"the application is {seen.state or 'gone'}; driver {driver.name}: {how}{reason}{taken}"


def telling(error: str) -> str:
    """What of spark-submit's output says anything: it may be a stack trace between two pages of log."""
    lines = (line.strip() for line in error.splitlines())
    kept = [line for line in lines if line and not line.startswith(("at ", "...")) and " INFO " not in line]
    return "\n".join(dict.fromkeys(kept))[:TELLING]


def _without_driver(seen: Observation, settings: SparkSettings) -> Failure | None:
    if not seen.state and seen.age_seconds >= settings.pickup_seconds:
        text = f"no Spark operator picked the application up in {settings.pickup_seconds:g} s"
        return Failure.of(FailureCode.SPARK_SUBMIT, text)
    if seen.age_seconds >= settings.start_seconds:
        text = f"there was no driver after {settings.start_seconds:g} s; the application is {seen.state}: "
        text += telling(seen.error)
        return Failure.of(FailureCode.SPARK_SUBMIT, text, state=seen.state)
    return None


def _was_refused(error: str) -> bool:
    return any(word in error for word in ("spark-submit", "forbidden", "exceeded quota", "admission", "denied"))


def _disrupted(status: Mapping[str, Any]) -> str | None:
    """Who takes the pod away although nothing is wrong with it."""
    for condition in status.get("conditions") or []:
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            return f"{condition.get('reason')}: {condition.get('message', '')}"[:TELLING]
    if status.get("reason") == "Evicted":
        return f"Evicted: {status.get('message', '')}"[:TELLING]
    return None


def _unschedulable(conditions: Sequence[Mapping[str, Any]]) -> str | None:
    for condition in conditions:
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return str(condition.get("message", ""))
    return None

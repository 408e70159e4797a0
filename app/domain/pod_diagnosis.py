"""Why a pod does not run, or has ended: from its status, as Kubernetes tells it, to a typed reason and what to do."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from app.contracts.failures import HINTS, FailureCode

_GIB: Final = 2**30
_TELLING: Final = 300
"""Characters of somebody else's message: it ends up in events and lists."""

_IMAGE: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_BROKEN: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_CRASH_LOOP: Final = "CrashLoopBackOff"
_OOM_KILLED: Final = "OOMKilled"
_DISRUPTION: Final = "DisruptionTarget"
_REJECTED: Final = ("OutOf", "NodeAffinity", "UnexpectedAdmissionError")
"""Beginnings of the reasons with which a kubelet refuses a pod that the scheduler gave it."""

# kubernetes.io/docs/concepts/workloads/pods/disruptions, "Pod disruption conditions".
_DISRUPTED: Final = {
    "EvictionByEvictionAPI": "evicted through the API, as a drain of its node does",
    "PreemptionByScheduler": "preempted: a pod of higher priority needs its place",
    "TerminationByKubelet": "stopped by its node",
    "DeletionByTaintManager": "evicted from a node that is tainted, out of reach for example",
}
_NODE_LOST: Final = frozenset({"DeletionByPodGC", "NodeLost"})

_HINT_MEMORY: Final = "Its request is larger than any node has free: add such a node, or use fewer points."
_HINT_TAINT: Final = "Give the pods a toleration for the taint that the message names, or add nodes without it."
_HINT_PLACE: Final = "No node fits the node selector or the affinity: look at the pods' nodeSelector and nodes' labels."
_HINT_CORDONED: Final = "Nodes are cordoned: uncordon one, or add nodes."
_HINT_BROKEN: Final = "The pod names what is not there: its message says which Secret, ConfigMap or volume."
_HINT_PREEMPTED: Final = "Give corepoint's pods a priority class, or the cluster more room."
_HINT_CRASH: Final = "The pod's log shows its last words: kubectl logs --previous."


@dataclass(frozen=True)
class Ended:
    """How a container ended."""

    reason: str
    exit_code: int
    message: str = ""


@dataclass(frozen=True)
class Waiting:
    """What a container waits for, if it cannot just be started."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Condition:
    holds: bool
    reason: str
    message: str = ""


@dataclass(frozen=True)
class PodStatus:
    """What of a pod's status tells why. `ended`: the latest end of its container, which may run again since.

    `memory_limit_bytes` is of that container. `is_kept_running`: it is started again whenever it ends, and nobody has
    asked for the pod to be deleted.
    """

    phase: str
    reason: str = ""
    message: str = ""
    waiting: Waiting | None = None
    ended: Ended | None = None
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    memory_limit_bytes: int | None = None
    is_kept_running: bool = False

    @property
    def is_over(self) -> bool:
        return self.phase in {"Failed", "Succeeded"}


@dataclass(frozen=True)
class Diagnosis:
    """`message` goes on a sentence that names the pod."""

    code: FailureCode
    message: str
    hint: str


def diagnose(pod: PodStatus | None) -> Diagnosis | None:
    """Why the pod does not run, or not for long; None while all is well. None for a pod: it is not there."""
    if pod is None or pod.phase == "Unknown":
        return _diagnosis(FailureCode.LOST, "gone" if pod is None else "on a node that is out of reach")
    if pod.is_over:
        return last_end(pod)
    return _disrupted(pod) or _waiting(pod) or _unscheduled(pod)


def last_end(pod: PodStatus) -> Diagnosis:
    """Why the pod, or the container that was started again in it, ended."""
    if pod.ended is not None and pod.ended.reason == _OOM_KILLED:
        limit = pod.memory_limit_bytes
        its = f"its memory limit of {limit / _GIB:.1f} GiB" if limit is not None else "its memory limit"
        return _diagnosis(FailureCode.OOM_KILLED, f"killed by the kernel (OOMKilled) at {its}")
    if pod.reason.startswith(_REJECTED):
        return _diagnosis(FailureCode.UNSCHEDULABLE, _with(f"refused by its node ({pod.reason})", pod.message))
    return disruption(pod) or _ended(pod)


def disruption(pod: PodStatus) -> Diagnosis | None:
    """Why the pod is taken away, or was, although its container did not end by itself; None if it is not."""
    if pod.reason == "Evicted":
        return _diagnosis(FailureCode.EVICTED, _with("evicted by its node", pod.message))
    if pod.is_kept_running and pod.is_over and not pod.reason:
        # A container that ends in order within the two seconds that it gets leaves no other trace of an eviction.
        return _disrupted(pod) or _diagnosis(FailureCode.EVICTED, "evicted by its node, whose events say why")
    return _disrupted(pod)


def _disrupted(pod: PodStatus) -> Diagnosis | None:
    target = pod.conditions.get(_DISRUPTION)
    if target is None or not target.holds:
        return None
    if target.reason in _NODE_LOST:
        return _diagnosis(FailureCode.LOST, _with("taken off a node that is gone", target.message))
    what = _DISRUPTED.get(target.reason, f"taken away ({target.reason})")
    hint = _HINT_PREEMPTED if target.reason == "PreemptionByScheduler" else None
    return _diagnosis(FailureCode.EVICTED, _with(what, target.message), hint)


def _waiting(pod: PodStatus) -> Diagnosis | None:
    waiting = pod.waiting
    if waiting is None:
        return None
    if waiting.reason in _IMAGE:
        what = f"without its image ({waiting.reason})"
        return _diagnosis(FailureCode.IMAGE_PULL, _with(what, waiting.message))
    if waiting.reason in _BROKEN:
        what = f"unable to start its container ({waiting.reason})"
        return _diagnosis(FailureCode.CRASH, _with(what, waiting.message), _HINT_BROKEN)
    if waiting.reason == _CRASH_LOOP:
        end = last_end(pod)
        return Diagnosis(end.code, f"started again and again: {end.message}", end.hint)
    return None


def _unscheduled(pod: PodStatus) -> Diagnosis | None:
    scheduled = pod.conditions.get("PodScheduled")
    if scheduled is None or scheduled.holds or scheduled.reason != "Unschedulable":
        return None
    return unschedulable(scheduled.message)


def unschedulable(message: str) -> Diagnosis:
    """From the words of the scheduler, or of the quota that refuses the pod."""
    # What follows the first sentence is about preemption: why killing others would not help.
    said = message.split(". ", 1)[0].rstrip(".")
    return _diagnosis(FailureCode.UNSCHEDULABLE, _with("without a node", said), _hint_for_scheduler(said))


def _hint_for_scheduler(said: str) -> str | None:
    if "Insufficient memory" in said:
        return _HINT_MEMORY
    if "were unschedulable" in said:
        return _HINT_CORDONED
    if "untolerated taint" in said:
        return _HINT_TAINT
    if "affinity" in said or "selector" in said:
        return _HINT_PLACE
    return None


def _ended(pod: PodStatus) -> Diagnosis:
    ended = pod.ended
    if ended is None:
        return _diagnosis(FailureCode.LOST, _with(pod.reason or pod.phase, pod.message))
    if ended.exit_code == 0:
        return _diagnosis(FailureCode.LOST, "exit code 0, its work unfinished")
    how = f"exit code {ended.exit_code}{_signal(ended.exit_code)}"
    return _diagnosis(FailureCode.CRASH, _with(how, ended.message), _HINT_CRASH)


def _signal(exit_code: int) -> str:
    """A shell, and so Kubernetes, adds 128 to the number of the signal."""
    number = exit_code - 128
    return f" ({signal.Signals(number).name})" if number in signal.valid_signals() else ""


def _with(what: str, said: str) -> str:
    return f"{what}: {said.strip()[:_TELLING]}" if said.strip() else what


def _diagnosis(code: FailureCode, message: str, hint: str | None = None) -> Diagnosis:
    return Diagnosis(code, message, hint or HINTS[code])

"""From what Kubernetes says of a pod to a typed reason: statuses as they were seen, or as the API documents them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.contracts.failures import HINTS, FailureCode
from app.domain.pod_diagnosis import Condition, Ended, PodStatus, Waiting, diagnose, disruption, last_end

SCHEDULER = (
    "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: true}, 2 Insufficient memory. no new claims to "
    "deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
)
PULL = 'Back-off pulling image "localhost/nowhere:dev"'
DISK = 'Usage of EmptyDir volume "tmp" exceeds the limit "256Mi". '


def disrupted(reason: str, message: str = "", phase: str = "Running") -> PodStatus:
    return PodStatus(phase=phase, conditions={"DisruptionTarget": Condition(True, reason, message)})


def unscheduled(message: str, reason: str = "Unschedulable") -> PodStatus:
    return PodStatus(phase="Pending", conditions={"PodScheduled": Condition(False, reason, message)})


def ended(reason: str, exit_code: int, phase: str = "Failed") -> PodStatus:
    return PodStatus(phase=phase, ended=Ended(reason, exit_code), memory_limit_bytes=3 << 30)


@pytest.mark.parametrize(
    "status",
    [
        PodStatus(phase="Running"),
        PodStatus(phase="Running", conditions={"PodScheduled": Condition(True, "")}),
        PodStatus(phase="Pending", waiting=Waiting("ContainerCreating")),
        PodStatus(phase="Pending"),
        ended("OOMKilled", 137, phase="Running"),  # it was started again, and runs
        unscheduled("waits for its gate", reason="SchedulingGated"),
        PodStatus(phase="Running", conditions={"DisruptionTarget": Condition(False, "EvictionByEvictionAPI")}),
    ],
)
def test_while_all_is_well_nothing_is_said(status: PodStatus) -> None:
    assert diagnose(status) is None


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (None, "lost", "gone"),
        (PodStatus(phase="Unknown", reason="NodeLost"), "lost", "on a node that is out of reach"),
        (ended("OOMKilled", 137), "oom_killed", "killed by the kernel (OOMKilled) at its memory limit of 3.0 GiB"),
        (PodStatus(phase="Failed", reason="Evicted", message=DISK), "evicted", f"evicted by its node: {DISK.strip()}"),
        (
            PodStatus(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
            "evicted",
            "evicted by its node: The node was low on resource: memory.",
        ),
        (
            disrupted("EvictionByEvictionAPI", "Eviction API: evicting"),
            "evicted",
            "evicted through the API, as a drain of its node does: Eviction API: evicting",
        ),
        (disrupted("PreemptionByScheduler"), "evicted", "preempted: a pod of higher priority needs its place"),
        (
            disrupted("TerminationByKubelet", "Pod was terminated in response to imminent node shutdown."),
            "evicted",
            "stopped by its node: Pod was terminated in response to imminent node shutdown.",
        ),
        (
            disrupted("DeletionByTaintManager"),
            "evicted",
            "evicted from a node that is tainted, out of reach for example",
        ),
        (disrupted("DeletionByPodGC", phase="Failed"), "lost", "taken off a node that is gone"),
        (
            PodStatus(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource: cpu"),
            "unschedulable",
            "refused by its node (OutOfcpu): Node didn't have enough resource: cpu",
        ),
        (
            unscheduled(SCHEDULER),
            "unschedulable",
            "without a node: 0/3 nodes are available: 1 node(s) had untolerated taint {gpu: true}, 2 Insufficient "
            "memory",
        ),
        (
            PodStatus(phase="Pending", waiting=Waiting("ImagePullBackOff", PULL)),
            "image_pull",
            f"without its image (ImagePullBackOff): {PULL}",
        ),
        (PodStatus(phase="Pending", waiting=Waiting("ErrImagePull")), "image_pull", "without its image (ErrImagePull)"),
        (
            PodStatus(phase="Pending", waiting=Waiting("InvalidImageName")),
            "image_pull",
            "without its image (InvalidImageName)",
        ),
        (
            PodStatus(phase="Pending", waiting=Waiting("CreateContainerConfigError", 'secret "x" not found')),
            "crash",
            'unable to start its container (CreateContainerConfigError): secret "x" not found',
        ),
        (
            PodStatus(phase="Running", waiting=Waiting("CrashLoopBackOff"), ended=Ended("Error", 1)),
            "crash",
            "started again and again: exit code 1",
        ),
        (
            PodStatus(phase="Running", waiting=Waiting("CrashLoopBackOff"), ended=Ended("OOMKilled", 137)),
            "oom_killed",
            "started again and again: killed by the kernel (OOMKilled) at its memory limit",
        ),
        (ended("Error", 137), "crash", "exit code 137 (SIGKILL)"),
        (ended("Error", 1), "crash", "exit code 1"),
        (ended("Completed", 0, phase="Succeeded"), "lost", "exit code 0, its work unfinished"),
        (PodStatus(phase="Failed", reason="Shutdown"), "lost", "Shutdown"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_pod_has_a_code_a_sentence_and_a_hint(
    status: PodStatus | None, code: str, message: str
) -> None:
    found = diagnose(status)
    assert found is not None
    assert (found.code.value, found.message) == (code, message)
    assert found.hint


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (unscheduled("0/1 nodes are available: 1 Insufficient memory."), "larger than any node has free"),
        (unscheduled("0/1 nodes are available: 1 node(s) were unschedulable."), "uncordon"),
        (unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint {a: b}."), "toleration"),
        (unscheduled("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."), "nodeSelector"),
        (unscheduled("0/1 nodes are available: 1 Insufficient cpu."), HINTS[FailureCode.UNSCHEDULABLE]),
        (disrupted("PreemptionByScheduler"), "priority class"),
    ],
)
def test_the_hint_is_for_the_cause_where_it_is_known(status: PodStatus, words: str) -> None:
    found = diagnose(status)
    assert found is not None
    assert words in found.hint


def test_the_last_end_of_a_container_that_runs_again_is_told() -> None:
    assert last_end(ended("OOMKilled", 137, phase="Running")).code is FailureCode.OOM_KILLED
    assert last_end(PodStatus(phase="Running")).code is FailureCode.LOST


def test_messages_of_others_are_cut() -> None:
    found = diagnose(PodStatus(phase="Failed", reason="Evicted", message="x" * 5_000))
    assert found is not None
    assert len(found.message) < 400


def test_a_disruption_is_known_before_the_pod_ends() -> None:
    assert disruption(PodStatus(phase="Running")) is None
    found = disruption(disrupted("EvictionByEvictionAPI"))
    assert found is not None
    assert found.code is FailureCode.EVICTED


def test_a_container_that_ends_in_order_is_evicted_if_its_pod_is_not_to_end() -> None:
    done = PodStatus(phase="Succeeded", ended=Ended("Completed", 0), is_kept_running=True)
    found = disruption(done)
    assert found is not None
    assert (found.code, found.message) == (FailureCode.EVICTED, "evicted by its node, whose events say why")
    assert disruption(replace(done, is_kept_running=False)) is None
    assert disruption(replace(done, phase="Running")) is None

"""What takes an attempt is told with its code and hint, and decides what becomes of the batch and of each trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from api_builders import World, success

from app.clock import now
from app.contracts.failures import HINTS, Failure, FailureCode
from app.contracts.states import BatchState
from app.db.models import Batch
from app.dispatcher import disrupted, stuck_queues
from app.dispatcher.context import Context
from app.dispatcher.isolated import IsolatedTrials
from app.domain.pod_diagnosis import Condition, Ended, PodStatus, Waiting
from app.gateways.kubernetes import TrialJob, TrialPod, WorkerPod
from app.gateways.prefect import FlowRunState
from app.runs import blamed, transitions

POD = {"isolation": "pod", "rounds": 2}
ONE = [{"algorithm": "sklearn-dbscan"}]
# What is decided in Python is the same on every database.
anywhere = pytest.mark.parametrize("backend", ["sqlite+folder"], indirect=True)


@pytest.fixture
def settings_values() -> dict[str, Any]:
    return {"pod_isolation": True}


async def row(world: World, batch_id: str) -> Batch:
    async with world.resources.database.read() as session:
        found = await session.get(Batch, UUID(batch_id))
    assert found is not None
    return found


async def events(world: World, run_id: str, kind: str) -> list[dict[str, Any]]:
    listed = (await world.api.get(f"/v1/runs/{run_id}/events?limit=100")).json()["items"]
    return [event for event in listed if event["kind"] == kind]


async def batches_of(world: World, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await world.api.get(f"/v1/runs/{run_id}/batches")).json()["items"]
    return found


async def blame(world: World, assignment: dict[str, Any], trial_id: str) -> None:
    failure = Failure.of(FailureCode.OOM_KILLED, "its worker pod w was started again: killed by the kernel")
    settings = world.resources.settings
    async with world.resources.database.write() as session:
        batch = await session.get(Batch, UUID(assignment["batch_id"]))
        assert batch is not None
        await blamed.blame(
            session, batch, UUID(trial_id), failure, now(), queues=settings.queues, attempts=settings.leases.attempts
        )


async def test_a_lost_attempt_says_what_took_it_and_what_to_do(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    await world.loses_all_attempts(batches[0], "its pod was evicted", code=FailureCode.EVICTED)
    told = [*await events(world, run_id, "batch_lost"), *await events(world, run_id, "batch_given_up")]
    assert len(told) == 5
    assert {(event["data"]["code"], event["data"]["hint"]) for event in told} == {
        ("evicted", HINTS[FailureCode.EVICTED])
    }
    failures = [trial["failure"] for trial in await world.trials(run_id)]
    assert {(one["code"], one["hint"]) for one in failures} == {("evicted", HINTS[FailureCode.EVICTED])}


async def test_the_trial_that_took_its_worker_moves_to_the_larger_queue_and_the_others_go_on(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    first = await world.claimed(batches[0])
    guilty, other = first["trials"]
    await blame(world, first, guilty["trial_id"])
    listed = await batches_of(world, run_id)
    assert [(one["queue"], one["state"], one["attempt"]) for one in listed] == [
        ("default", "waiting", 2),
        ("high-memory", "waiting", 1),
    ]
    (told,) = await events(world, run_id, "trial_oom_killed")
    assert (told["data"]["code"], told["data"]["trial_id"]) == ("oom_killed", guilty["trial_id"])
    trials = {trial["id"]: trial for trial in await world.trials(run_id)}
    assert trials[guilty["trial_id"]]["routing"] == (
        "was killed by the kernel at the memory limit of default, tried once on high-memory"
    )
    for batch, expected in zip(listed, (other, guilty), strict=True):
        assignment = await world.claimed(batch)
        assert [trial["trial_id"] for trial in assignment["trials"]] == [expected["trial_id"]]
        assert (await world.report(assignment, [success(assignment, assignment["trials"][0])])).status_code == 200
    assert (await world.run(run_id))["state"] == "succeeded"


@anywhere
async def test_where_no_queue_is_larger_the_trial_fails_and_the_others_go_on(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned(queue="high-memory")
    first = await world.claimed(batches[0])
    await blame(world, first, first["trials"][0]["trial_id"])
    states = {trial["id"]: trial for trial in await world.trials(run_id)}
    failed = states[first["trials"][0]["trial_id"]]
    assert (failed["state"], failed["failure"]["code"]) == ("failed", "oom_killed")
    second = await world.claimed({**batches[0], "attempt": 2})
    assert (await world.report(second, [success(second, second["trials"][0])])).status_code == 200
    assert (await world.run(run_id))["state"] == "partial"


@anywhere
async def test_an_attempt_that_is_laid_to_a_trial_does_not_count_against_the_others(world: World) -> None:
    await world.dataset()
    algorithms = [{"algorithm": "sklearn-dbscan", "name": f"n{n}"} for n in range(7)]
    run_id, batches = await world.planned(queue="high-memory", algorithms=algorithms)
    for attempt in range(1, 7):
        assignment = await world.claimed({**batches[0], "attempt": attempt})
        await blame(world, assignment, assignment["trials"][0]["trial_id"])
    assert (await row(world, batches[0]["id"])).state is BatchState.WAITING
    assert (await world.run(run_id))["trials"] == {"failed": 6, "pending": 1}


@anywhere
async def test_a_trial_that_ended_meanwhile_is_not_blamed(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    first = await world.claimed(batches[0])
    await blame(world, first, str(UUID(int=1)))
    (lost,) = await events(world, run_id, "batch_lost")
    assert lost["data"]["code"] == "oom_killed"
    assert {trial["state"] for trial in await world.trials(run_id)} == {"pending"}


@anywhere
async def test_a_batch_that_is_given_back_with_a_reason_has_lost_an_attempt(world: World) -> None:
    """As the worker of `spark` does when its driver was killed."""
    await world.dataset()
    run_id, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    told = {"reason": "driver d: exit code 137", "code": "crash", "hint": "look at its log"}
    assert (await world.say("release", assignment, **told)).status_code == 204
    (lost,) = await events(world, run_id, "batch_lost")
    assert (lost["data"]["code"], lost["data"]["hint"]) == ("crash", "look at its log")
    assert await events(world, run_id, "batch_released") == []
    assert (await row(world, batches[0]["id"])).attempt == 2


@dataclass
class Cluster:
    """What a cluster would answer of isolated trials, and what was asked of it."""

    jobs: list[TrialJob] = field(default_factory=list)
    pods: list[TrialPod] = field(default_factory=list)
    warning: str = ""
    deleted: list[str] = field(default_factory=list)

    async def trial_jobs(self) -> list[TrialJob]:
        return self.jobs

    async def trial_pods(self) -> list[TrialPod]:
        return self.pods

    async def last_warning(self, job: str) -> str:
        return self.warning

    async def delete_job(self, name: str) -> None:
        self.deleted.append(name)


@dataclass
class FlowRuns:
    """What Prefect would answer of a flow run."""

    state: FlowRunState | None = None
    set_to: list[str] = field(default_factory=list)

    async def flow_run_state(self, _: str) -> FlowRunState | None:
        return self.state

    async def has_infrastructure(self, _: str) -> bool:
        return True

    async def set_flow_run_state(self, _: str, state: str, *, force: bool) -> None:
        self.set_to.append(state)


@dataclass
class Isolated:
    """A run of one isolated trial, and the cluster it is in."""

    world: World
    run_id: str
    batch: dict[str, Any]
    cluster: Cluster = field(default_factory=Cluster)
    prefect: FlowRuns = field(default_factory=FlowRuns)
    reconciler: IsolatedTrials = field(default_factory=IsolatedTrials)

    def place(self, status: PodStatus | None, *, age: float = 1.0, attempt: int = 1, ended: bool = False) -> None:
        born, batch_id = now() - timedelta(seconds=age), UUID(self.batch["id"])
        name = f"batch-{batch_id}-a{attempt}"
        self.cluster.jobs = [TrialJob(name, batch_id, attempt, born, now() if ended else None, terminating=False)]
        self.cluster.pods = [] if status is None else [TrialPod(f"{name}-x", batch_id, attempt, born, status)]

    async def submitted(self, seconds_ago: float = 0.0) -> None:
        async with self.world.resources.database.write() as session:
            batch = await session.get(Batch, UUID(self.batch["id"]))
            assert batch is not None
            await transitions.submitted(session, batch, "flow-1", now() - timedelta(seconds=seconds_ago))

    async def claimed(self) -> dict[str, Any]:
        return await self.world.claimed(self.batch, "flow-1")

    async def silent(self) -> None:
        async with self.world.resources.database.write() as session:
            batch = await session.get(Batch, UUID(self.batch["id"]))
            assert batch is not None
            batch.lease_until = now()

    async def reconcile(self) -> int:
        made = self.world.resources
        parts = {"settings": made.settings, "database": made.database, "objects": made.objects}
        context = SimpleNamespace(kubernetes=self.cluster, prefect=self.prefect, **parts)
        return await self.reconciler.reconcile(cast("Context", context))

    async def events(self, kind: str) -> list[dict[str, Any]]:
        return await events(self.world, self.run_id, kind)


@pytest.fixture
async def isolated(world: World) -> Isolated:
    await world.dataset()
    run_id, batches = await world.planned(algorithms=ONE, protocol=POD)
    return Isolated(world, run_id, batches[0])


UNSCHEDULABLE = PodStatus(
    phase="Pending",
    conditions={"PodScheduled": Condition(False, "Unschedulable", "0/1 nodes are available: 1 Insufficient memory.")},
)
PULLING = PodStatus(phase="Pending", waiting=Waiting("ImagePullBackOff", 'Back-off pulling image "x"'))


@pytest.mark.parametrize(
    ("status", "code"), [(UNSCHEDULABLE, "unschedulable"), (PULLING, "image_pull")], ids=["node", "image"]
)
async def test_a_pod_that_waits_is_told_once_and_ends_with_its_reason(
    isolated: Isolated, status: PodStatus, code: str
) -> None:
    await isolated.submitted()
    isolated.place(status)
    for _ in range(3):
        await isolated.reconcile()
    (told,) = await isolated.events("pod_waits")
    assert told["data"]["code"] == code
    assert told["data"]["hint"]
    assert (await isolated.world.run(isolated.run_id))["state"] == "queued"
    isolated.place(status, age=601)
    await isolated.reconcile()
    (trial,) = await isolated.world.trials(isolated.run_id)
    assert (trial["state"], trial["failure"]["code"]) == ("failed", code)
    assert "did not start in 600 s" in trial["failure"]["message"]
    assert isolated.prefect.set_to == ["CANCELLED"]
    await isolated.reconcile()
    assert isolated.cluster.deleted == [f"batch-{isolated.batch['id']}-a1"]


@anywhere
async def test_a_quota_that_refuses_the_pod_is_told_from_the_jobs_events(isolated: Isolated) -> None:
    await isolated.submitted()
    isolated.place(None, age=30)
    isolated.cluster.warning = 'Error creating: pods "x" is forbidden: exceeded quota: small'
    await isolated.reconcile()
    (told,) = await isolated.events("pod_waits")
    assert told["data"]["code"] == "unschedulable"
    assert "exceeded quota: small" in told["message"]


OOM = PodStatus(phase="Failed", ended=Ended("OOMKilled", 137), memory_limit_bytes=1 << 30)


async def test_a_pod_that_the_kernel_killed_gets_the_queues_memory_and_then_the_larger_queue(
    isolated: Isolated,
) -> None:
    for expected in (("default", "default"), ("default", "default", "high-memory")):
        await isolated.claimed()
        isolated.place(OOM)
        await isolated.reconcile()
        listed = await batches_of(isolated.world, isolated.run_id)
        assert tuple(one["queue"] for one in listed) == expected
        assert [one["state"] for one in listed] == ["finished"] * (len(listed) - 1) + ["waiting"]
        isolated.batch = listed[-1]
    await isolated.claimed()
    isolated.place(OOM)
    await isolated.reconcile()
    (trial,) = await isolated.world.trials(isolated.run_id)
    assert (trial["state"], trial["failure"]["code"]) == ("failed", "oom_killed")
    assert "1.0 GiB" in trial["failure"]["message"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (PodStatus(phase="Failed", reason="Evicted", message="The node was low on resource"), "evicted"),
        (PodStatus(phase="Failed", ended=Ended("Error", 1)), "crash"),
    ],
    ids=["evicted", "crashed"],
)
@anywhere
async def test_an_attempt_whose_pod_failed_is_lost_for_its_reason(
    isolated: Isolated, status: PodStatus, code: str
) -> None:
    await isolated.claimed()
    isolated.place(status, ended=True)
    await isolated.reconcile()
    (lost,) = await isolated.events("batch_lost")
    assert lost["data"]["code"] == code
    assert (await row(isolated.world, isolated.batch["id"])).attempt == 2


@anywhere
async def test_a_pod_that_is_gone_is_believed_once_it_is_silent(isolated: Isolated) -> None:
    await isolated.claimed()
    isolated.place(None)
    await isolated.reconcile()
    assert await isolated.events("batch_lost") == []
    await isolated.silent()
    await isolated.reconcile()
    (lost,) = await isolated.events("batch_lost")
    assert (lost["data"]["code"], lost["message"]) == ("lost", "batch 0, attempt 1: its pod is gone")


@anywhere
async def test_a_job_that_vanished_is_noticed_and_one_that_prefect_has_not_made_yet_is_not(isolated: Isolated) -> None:
    await isolated.submitted(seconds_ago=120)
    assert await isolated.reconcile() == 0  # Prefect does not know it: it is submitted again elsewhere
    isolated.prefect.state = FlowRunState("PENDING", now())
    await isolated.reconcile()
    (lost,) = await isolated.events("batch_lost")
    assert lost["message"].endswith("its Job is gone")


@anywhere
async def test_jobs_that_nobody_wants_are_deleted(isolated: Isolated) -> None:
    await isolated.claimed()
    name = f"batch-{isolated.batch['id']}-a1"
    isolated.place(PodStatus(phase="Running"))
    await isolated.reconcile()
    assert isolated.cluster.deleted == []
    async with isolated.world.resources.database.write() as session:
        batch = await session.get(Batch, UUID(isolated.batch["id"]))
        assert batch is not None
        await transitions.lose(session, batch, "no heartbeat", now())
    await isolated.reconcile()
    assert isolated.cluster.deleted == [name], "superseded by attempt 2"
    isolated.cluster.jobs = [replace(isolated.cluster.jobs[0], attempt=2, ended_at=now() - timedelta(seconds=299))]
    await isolated.reconcile()
    assert isolated.cluster.deleted == [name], "its log may be read yet"
    isolated.cluster.jobs = [replace(isolated.cluster.jobs[0], ended_at=now() - timedelta(seconds=301))]
    await isolated.reconcile()
    assert isolated.cluster.deleted == [name, name]


@anywhere
async def test_a_finished_trials_job_may_end_by_itself(isolated: Isolated) -> None:
    assignment = await isolated.claimed()
    await isolated.world.report(assignment, [success(assignment, assignment["trials"][0])])
    isolated.place(PodStatus(phase="Running"))
    await isolated.reconcile()
    assert isolated.cluster.deleted == []


def worker(name: str, status: PodStatus, *, ready: bool = False, age: float = 60.0) -> WorkerPod:
    return WorkerPod(
        name=name, queue="default", ready=ready, terminating=False, created_at=now() - timedelta(seconds=age),
        started_at=None, node=None, deletion_cost=0, status=status,
    )  # fmt: skip


@dataclass
class Workers:
    """What a cluster would answer of worker pods."""

    pods: list[WorkerPod]

    async def worker_pods(self) -> list[WorkerPod]:
        return self.pods

    def watched(self, _: float) -> Iterator[WorkerPod]:
        return iter(self.pods)


def looking_at(world: World, *pods: WorkerPod) -> Context:
    made = world.resources
    return cast(
        "Context", SimpleNamespace(kubernetes=Workers(list(pods)), settings=made.settings, database=made.database)
    )


async def test_runs_that_wait_for_workers_that_cannot_start_say_so_once(world: World) -> None:
    await world.dataset()
    run_id, _ = await world.planned()
    pulling = worker("w1", PULLING)
    assert await stuck_queues.reconcile(looking_at(world, worker("w0", PULLING, age=5))) == 0, "it may come yet"
    ready = worker("w2", PodStatus(phase="Running"), ready=True)
    assert await stuck_queues.reconcile(looking_at(world, pulling, ready)) == 0, "another one takes them"
    assert [await stuck_queues.reconcile(looking_at(world, pulling)) for _ in range(3)] == [1, 0, 0]
    (told,) = await events(world, run_id, "queue_stuck")
    assert (told["data"]["queue"], told["data"]["code"]) == ("default", "image_pull")
    assert told["message"].startswith("no worker of default can start: w1 is without its image (ImagePullBackOff)")
    assert told["data"]["hint"] == HINTS[FailureCode.IMAGE_PULL]


async def test_a_run_hears_that_the_pod_that_measures_it_is_taken_away(world: World) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    await world.claimed(batches[0])
    evicted = PodStatus(phase="Running", conditions={"DisruptionTarget": Condition(True, "EvictionByEvictionAPI")})
    pods = looking_at(world, worker("worker-1", evicted), worker("worker-2", evicted))
    assert [await disrupted.reconcile(pods) for _ in range(2)] == [1, 0]
    (told,) = await events(world, run_id, "worker_disrupted")
    assert told["data"]["code"] == "evicted"
    assert told["message"].startswith("batch 0, attempt 1: its pod worker-1 is being taken away: evicted through")


async def test_a_run_hears_why_its_worker_gave_a_batch_back_in_the_two_seconds_that_a_node_leaves_it(
    world: World,
) -> None:
    await world.dataset()
    run_id, batches = await world.planned()
    assignment = await world.claimed(batches[0])
    assert (await world.say("release", assignment, reason="its worker is stopping")).status_code == 204
    full = PodStatus(phase="Failed", reason="Evicted", message='Usage of EmptyDir volume "tmp" exceeds the limit.')
    pods = looking_at(world, worker("worker-1", full), worker("worker-2", full))
    assert [await disrupted.reconcile(pods) for _ in range(2)] == [1, 0]
    (told,) = await events(world, run_id, "worker_disrupted")
    assert told["data"]["attempt"] == 1
    assert "evicted by its node: Usage of EmptyDir volume" in told["message"]

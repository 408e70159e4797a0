"""Prefect's REST API, as far as corepoint needs it. Every call is idempotent and bounded in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import stamina

from app.contracts.states import QueueName
from app.settings import PrefectSettings

HTTP_NOT_FOUND = 404
HTTP_CONFLICT = 409
HTTP_TOO_MANY_REQUESTS = 429
HTTP_UNAVAILABLE = 503
FLOW_RUNS_PAGE = 200  # Prefect gives no more at once
# Its server is one process: fifty calls at once take it longer than each caller waits, and then come again.
AT_ONCE = 8
WAIT_SECONDS = 20.0
OUR_TAG = "corepoint"
PLANNED_TAG = "auto-scheduled"  # Prefect's, of what its scheduler made
TERMINAL_STATES = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
# Previews overtake everything else, the rest is served alike (1 is the highest priority).
PRIORITIES = {QueueName.PRIORITY: 1, QueueName.DEFAULT: 2, QueueName.HIGH_MEMORY: 3, QueueName.SPARK: 4}


class DeploymentMissingError(LookupError):
    """Prefect does not know the deployment (any more): register it again."""


@dataclass(frozen=True)
class DeploymentSpec:
    """A deployment as it should be. `entrypoint` is a module path, so nothing is copied or pulled."""

    flow: str
    name: str
    entrypoint: str
    queue: QueueName
    pool: str | None = None  # of the worker processes by default
    tags: tuple[str, ...] = ()
    parameters: Mapping[str, Any] | None = None
    schedules: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class DueFlowRun:
    """A flow run that Prefect planned, that is due, and that nobody has adopted or started."""

    id: str
    experiment_id: UUID
    planned_for: datetime


@dataclass(frozen=True)
class FlowRunState:
    """A state's type (SCHEDULED, PENDING, RUNNING, …) and when the flow run came into it."""

    type: str
    since: datetime


class PrefectGateway:
    """One client per process; close it with `aclose`."""

    def __init__(self, settings: PrefectSettings) -> None:
        self.pool = settings.pool
        self.pods_pool = settings.pods_pool
        self._timeout_seconds = settings.timeout_seconds
        self._passthrough_seconds = settings.passthrough_seconds
        self._client = httpx.AsyncClient(
            base_url=settings.api_url,
            timeout=httpx.Timeout(settings.timeout_seconds, pool=WAIT_SECONDS),
            limits=httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE),
            auth=_authentication(settings),
            headers={"Authorization": f"Bearer {settings.api_key.get_secret_value()}"} if settings.api_key else None,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def ensure_pool(self) -> None:
        """The pool and its queues exist. Repeating it changes nothing."""
        await self._create("/work_pools/", {"name": self.pool, "type": "process"})
        await self._ensure_queues(self.pool)

    async def ensure_pods_pool(self, template: Mapping[str, Any], concurrency: int) -> bool:
        """The pool of isolated trials, with its queues, makes Jobs from `template`. Answers whether it had to change.

        A flow run that is submitted already keeps what it was submitted with.
        """
        path = f"/work_pools/{self.pods_pool}"
        wanted = {"base_job_template": dict(template), "concurrency_limit": concurrency}
        answer = await self._send("GET", path, expected=HTTP_NOT_FOUND)
        if answer.status_code == HTTP_NOT_FOUND:
            await self._create("/work_pools/", {"name": self.pods_pool, "type": "kubernetes", **wanted})
            await self._ensure_queues(self.pods_pool)
            return True
        known = answer.json()
        if all(known.get(name) == value for name, value in wanted.items()):
            return False
        await self._send("PATCH", path, wanted)
        return True

    async def _ensure_queues(self, pool: str) -> None:
        for queue, priority in PRIORITIES.items():
            path = f"/work_pools/{pool}/queues"
            if not await self._create(path, {"name": queue.value, "priority": priority}):
                known = (await self._send("GET", f"{path}/{queue.value}")).json()
                if known.get("priority") != priority:
                    await self._send("PATCH", f"{path}/{queue.value}", {"priority": priority})

    async def ensure_deployment(self, wanted: DeploymentSpec) -> str:
        """Create or update; answers the deployment's id."""
        flow = await self._call("/flows/", {"name": wanted.flow})
        body = {
            "name": wanted.name,
            "flow_id": flow["id"],
            "entrypoint": wanted.entrypoint,
            "work_pool_name": wanted.pool or self.pool,
            "work_queue_name": wanted.queue.value,
            "parameters": dict(wanted.parameters or {}),
            "enforce_parameter_schema": False,
            "tags": list(wanted.tags),
            "schedules": [dict(schedule) for schedule in wanted.schedules],
        }
        deployment = await self._call("/deployments/", body)
        return str(deployment["id"])

    async def deployment_schedules(self, deployment_id: str) -> set[tuple[str, bool]] | None:
        """Slug of each schedule and whether it is active; None if Prefect does not know the deployment."""
        response = await self._send("GET", f"/deployments/{deployment_id}", expected=HTTP_NOT_FOUND)
        if response.status_code == HTTP_NOT_FOUND:
            return None
        return {(str(schedule["slug"]), bool(schedule["active"])) for schedule in response.json()["schedules"]}

    async def delete_deployment(self, deployment_id: str) -> None:
        await self._send("DELETE", f"/deployments/{deployment_id}", expected=HTTP_NOT_FOUND)

    async def deployments_tagged(self, tag: str) -> list[str]:
        found = await self._call("/deployments/filter", {"deployments": {"tags": {"all_": [tag]}}})
        return [str(deployment["id"]) for deployment in found]

    async def create_flow_run(
        self,
        deployment_id: str,
        key: str,
        name: str,
        parameters: Mapping[str, Any],
        tags: Sequence[str] = (),
        *,
        queue: QueueName | None = None,
        job_variables: Mapping[str, Any] | None = None,
    ) -> str:
        """At most one flow run per key: a repeat answers the first. Raises DeploymentMissingError.

        `queue` and `job_variables` overrule the deployment's.
        """
        body = {"idempotency_key": key, "name": name, "parameters": dict(parameters), "tags": list(tags)}
        if queue is not None:
            body["work_queue_name"] = queue.value
        if job_variables is not None:
            body["job_variables"] = dict(job_variables)
        path = f"/deployments/{deployment_id}/create_flow_run"
        response = await self._send("POST", path, body, expected=HTTP_NOT_FOUND)
        if response.status_code == HTTP_NOT_FOUND:
            raise DeploymentMissingError(deployment_id)
        return str(response.json()["id"])

    async def due_flow_runs(self, moment: datetime, limit: int) -> list[DueFlowRun]:
        """The longest due first."""
        body = {
            "work_pools": {"name": {"any_": [self.pool]}},
            "flow_runs": {
                "state": {"type": {"any_": ["SCHEDULED"]}},
                "next_scheduled_start_time": {"before_": moment.isoformat()},
                "tags": {"all_": [PLANNED_TAG, OUR_TAG]},
            },
            "sort": "NEXT_SCHEDULED_START_TIME_ASC",
            "limit": min(limit, 200),
        }
        found = await self._call("/flow_runs/filter", body)
        return [
            DueFlowRun(
                str(flow_run["id"]),
                UUID(flow_run["parameters"]["experiment_id"]),
                datetime.fromisoformat(flow_run["expected_start_time"]),
            )
            for flow_run in found
            if "experiment_id" in flow_run["parameters"]  # a person may have changed them
        ]

    async def give_batch(self, flow_run_id: str, parameters: Mapping[str, Any], tags: Sequence[str]) -> None:
        """A planned flow run is one of a batch from now on, and `due_flow_runs` knows it no more."""
        body = {"parameters": dict(parameters), "tags": list(tags)}
        await self._send("PATCH", f"/flow_runs/{flow_run_id}", body, expected=HTTP_NOT_FOUND)

    async def flow_run_state(self, flow_run_id: str) -> FlowRunState | None:
        """None if Prefect does not know the flow run."""
        response = await self._send("GET", f"/flow_runs/{flow_run_id}", expected=HTTP_NOT_FOUND)
        if response.status_code == HTTP_NOT_FOUND:
            return None
        return _state(response.json())

    async def flow_run_states(self, flow_run_ids: Sequence[str]) -> dict[str, FlowRunState]:
        """By id, of up to FLOW_RUNS_PAGE flow runs; those that Prefect does not know are missing."""
        body = {"flow_runs": {"id": {"any_": list(flow_run_ids)}}, "limit": FLOW_RUNS_PAGE}
        return {str(found["id"]): _state(found) for found in await self._call("/flow_runs/filter", body)}

    async def has_infrastructure(self, flow_run_id: str) -> bool:
        """Whether a worker has started something for it: a process, or a Job whose pod may still wait for a node."""
        response = await self._send("GET", f"/flow_runs/{flow_run_id}", expected=HTTP_NOT_FOUND)
        return response.status_code != HTTP_NOT_FOUND and bool(response.json().get("infrastructure_pid"))

    async def set_flow_run_state(
        self, flow_run_id: str, state: str, force: bool = False, message: str | None = None
    ) -> None:
        """Propose a state; a flow run that is gone is as good as set."""
        body = {"state": {"type": state, "message": message}, "force": force}
        await self._send("POST", f"/flow_runs/{flow_run_id}/set_state", body, expected=HTTP_NOT_FOUND)

    async def run_logs(self, flow_run_ids: list[str], limit: int) -> list[str] | None:
        """Log lines in time order, or None when Prefect does not answer in time."""
        body = {"logs": {"flow_run_id": {"any_": flow_run_ids}}, "limit": min(limit, 200), "sort": "TIMESTAMP_ASC"}
        try:
            response = await self._client.post("/logs/filter", json=body, timeout=self._passthrough_seconds)
            response.raise_for_status()
        except httpx.HTTPError:
            return None
        return [f"{entry['timestamp']} {entry['message']}" for entry in response.json()]

    async def delete_flow_runs(self, ended_before: datetime) -> int:
        """A page of ours that have ended; how many that was. Their logs go with them."""
        body = {
            "flow_runs": {
                "tags": {"all_": [OUR_TAG]},
                "state": {"type": {"any_": sorted(TERMINAL_STATES)}},
                "end_time": {"before_": ended_before.isoformat()},
            }
        }
        return len((await self._call("/flow_runs/bulk_delete", body))["deleted"])

    async def has_queues(self) -> bool:
        """Whether the pool of the worker processes is there with all its queues."""
        answer = await self._send("POST", f"/work_pools/{self.pool}/queues/filter", {}, expected=HTTP_NOT_FOUND)
        known = set() if answer.status_code == HTTP_NOT_FOUND else {queue["name"] for queue in answer.json()}
        return known.issuperset(queue.value for queue in PRIORITIES)

    async def offline_workers(self, pool: str) -> list[str]:
        """Names of the pool's workers that have stopped to poll, a page of them; none where there is no such pool."""
        body = {"workers": {"status": {"any_": ["OFFLINE"]}}}
        answer = await self._send("POST", f"/work_pools/{pool}/workers/filter", body, expected=HTTP_NOT_FOUND)
        return [] if answer.status_code == HTTP_NOT_FOUND else [str(worker["name"]) for worker in answer.json()]

    async def delete_worker(self, pool: str, name: str) -> None:
        await self._send("DELETE", f"/work_pools/{pool}/workers/{name}", expected=HTTP_NOT_FOUND)

    async def _create(self, path: str, body: Mapping[str, Any]) -> bool:
        return (await self._send("POST", path, body, expected=HTTP_CONFLICT)).status_code != HTTP_CONFLICT

    async def _call(self, path: str, body: Mapping[str, Any]) -> Any:
        return (await self._send("POST", path, body)).json()

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, expected: int | None = None
    ) -> httpx.Response:
        """A response that is a success or has the `expected` status. Raises httpx.HTTPError.

        Prefect on SQLite answers 503 while another of its own loops writes; that passes within a second.
        """
        async for attempt in stamina.retry_context(
            on=_may_pass, attempts=5, timeout=self._timeout_seconds, wait_initial=0.1, wait_max=2.0
        ):
            with attempt:
                response = await self._client.request(method, path, json=None if body is None else dict(body))
                if response.status_code != expected:
                    response.raise_for_status()
                return response
        raise AssertionError("stamina ends by returning or raising")


def _state(flow_run: Mapping[str, Any]) -> FlowRunState:
    state = flow_run["state"]
    return FlowRunState(str(state["type"]), datetime.fromisoformat(state["timestamp"]))


def _authentication(settings: PrefectSettings) -> httpx.BasicAuth | None:
    if settings.auth_string is None:
        return None
    user, _, password = settings.auth_string.get_secret_value().partition(":")
    return httpx.BasicAuth(user, password)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in {HTTP_UNAVAILABLE, HTTP_TOO_MANY_REQUESTS}
    return isinstance(error, httpx.TransportError)

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
            timeout=settings.timeout_seconds,
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

    async def flow_run_state(self, flow_run_id: str) -> FlowRunState | None:
        """None if Prefect does not know the flow run."""
        response = await self._send("GET", f"/flow_runs/{flow_run_id}", expected=HTTP_NOT_FOUND)
        if response.status_code == HTTP_NOT_FOUND:
            return None
        state = response.json()["state"]
        return FlowRunState(str(state["type"]), datetime.fromisoformat(state["timestamp"]))

    async def has_infrastructure(self, flow_run_id: str) -> bool:
        """Whether a worker has started something for it: a process, or a Job whose pod may still wait for a node."""
        response = await self._send("GET", f"/flow_runs/{flow_run_id}", expected=HTTP_NOT_FOUND)
        return response.status_code != HTTP_NOT_FOUND and bool(response.json().get("infrastructure_pid"))

    async def set_flow_run_state(self, flow_run_id: str, state: str, force: bool = False) -> None:
        """Propose a state; a flow run that is gone is as good as set."""
        body = {"state": {"type": state}, "force": force}
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

    async def has_pool(self) -> bool:
        response = await self._send("GET", f"/work_pools/{self.pool}", expected=HTTP_NOT_FOUND)
        return response.status_code != HTTP_NOT_FOUND

    async def offline_workers(self) -> list[str]:
        """Names of the pool's workers that have stopped to poll."""
        path = f"/work_pools/{self.pool}/workers/filter"
        found = await self._call(path, {"workers": {"status": {"any_": ["OFFLINE"]}}})
        return [str(worker["name"]) for worker in found]

    async def delete_worker(self, name: str) -> None:
        await self._send("DELETE", f"/work_pools/{self.pool}/workers/{name}", expected=HTTP_NOT_FOUND)

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


def _authentication(settings: PrefectSettings) -> httpx.BasicAuth | None:
    if settings.auth_string is None:
        return None
    user, _, password = settings.auth_string.get_secret_value().partition(":")
    return httpx.BasicAuth(user, password)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in {HTTP_UNAVAILABLE, HTTP_TOO_MANY_REQUESTS}
    return isinstance(error, httpx.TransportError)


def experiment_name(experiment: str, queue: QueueName) -> str:
    return f"{experiment}.{queue.value}"


def pods_name(experiment: str) -> str:
    """Of the one deployment for all isolated trials of the experiment."""
    return f"{experiment}.pods"


def run_key(entity_id: UUID, attempt: int) -> str:
    """Idempotency key of an attempt: one start of a batch is exactly one flow run."""
    return f"{entity_id}/{attempt}"

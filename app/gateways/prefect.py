"""Prefect's REST API, as far as corepoint needs it. Every call is idempotent and bounded in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from app.contracts.states import QueueName
from app.settings import PrefectSettings

HTTP_NOT_FOUND = 404
HTTP_CONFLICT = 409
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
    tags: tuple[str, ...] = ()
    parameters: Mapping[str, Any] | None = None
    schedules: tuple[Mapping[str, Any], ...] = ()


class PrefectGateway:
    """One client per process; close it with `aclose`."""

    def __init__(self, settings: PrefectSettings) -> None:
        auth = settings.auth_string.get_secret_value() if settings.auth_string else None
        user, _, password = (auth or "").partition(":")
        self.pool = settings.pool
        self._passthrough_seconds = settings.passthrough_seconds
        self._client = httpx.AsyncClient(
            base_url=settings.api_url,
            timeout=settings.timeout_seconds,
            auth=httpx.BasicAuth(user, password) if auth else None,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def ensure_pool(self) -> None:
        """The pool and its queues exist. Repeating it changes nothing."""
        await self._create("/work_pools/", {"name": self.pool, "type": "process"})
        for queue, priority in PRIORITIES.items():
            path = f"/work_pools/{self.pool}/queues"
            if not await self._create(path, {"name": queue.value, "priority": priority}):
                await self._call("PATCH", f"{path}/{queue.value}", json={"priority": priority})

    async def ensure_deployment(self, wanted: DeploymentSpec) -> str:
        """Create or update; answers the deployment's id."""
        flow = await self._call("POST", "/flows/", json={"name": wanted.flow})
        body = {
            "name": wanted.name,
            "flow_id": flow["id"],
            "entrypoint": wanted.entrypoint,
            "work_pool_name": self.pool,
            "work_queue_name": wanted.queue.value,
            "parameters": dict(wanted.parameters or {}),
            "enforce_parameter_schema": False,
            "tags": list(wanted.tags),
            "schedules": [dict(schedule) for schedule in wanted.schedules],
        }
        deployment = await self._call("POST", "/deployments/", json=body)
        return str(deployment["id"])

    async def delete_deployment(self, deployment_id: str) -> None:
        response = await self._client.delete(f"/deployments/{deployment_id}")
        if response.status_code != HTTP_NOT_FOUND:
            response.raise_for_status()

    async def deployments_tagged(self, tag: str) -> list[str]:
        found = await self._call("POST", "/deployments/filter", json={"deployments": {"tags": {"all_": [tag]}}})
        return [str(deployment["id"]) for deployment in found]

    async def create_flow_run(
        self, deployment_id: str, key: str, name: str, parameters: Mapping[str, Any], tags: Sequence[str] = ()
    ) -> str:
        """At most one flow run per key: a repeat answers the first. Raises DeploymentMissingError."""
        response = await self._client.post(
            f"/deployments/{deployment_id}/create_flow_run",
            json={"idempotency_key": key, "name": name, "parameters": dict(parameters), "tags": list(tags)},
        )
        if response.status_code == HTTP_NOT_FOUND:
            raise DeploymentMissingError(deployment_id)
        response.raise_for_status()
        return str(response.json()["id"])

    async def flow_run_state(self, flow_run_id: str) -> str | None:
        """The state's type, or None if Prefect does not know the flow run."""
        response = await self._client.get(f"/flow_runs/{flow_run_id}")
        if response.status_code == HTTP_NOT_FOUND:
            return None
        response.raise_for_status()
        state = response.json().get("state") or {}
        return str(state.get("type", "SCHEDULED"))

    async def set_flow_run_state(self, flow_run_id: str, state: str, force: bool = False) -> None:
        """Propose a state; a flow run that is gone is as good as set."""
        response = await self._client.post(
            f"/flow_runs/{flow_run_id}/set_state", json={"state": {"type": state}, "force": force}
        )
        if response.status_code != HTTP_NOT_FOUND:
            response.raise_for_status()

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
        response = await self._client.get(f"/work_pools/{self.pool}")
        if response.status_code == HTTP_NOT_FOUND:
            return False
        response.raise_for_status()
        return True

    async def _create(self, path: str, body: Mapping[str, Any]) -> bool:
        response = await self._client.post(path, json=dict(body))
        if response.status_code == HTTP_CONFLICT:
            return False
        response.raise_for_status()
        return True

    async def _call(self, method: str, path: str, json: Mapping[str, Any]) -> Any:
        response = await self._client.request(method, path, json=dict(json))
        response.raise_for_status()
        return response.json() if response.content else None


def experiment_name(experiment: str, queue: QueueName) -> str:
    return f"{experiment}.{queue.value}"


def run_key(entity_id: UUID, attempt: int) -> str:
    """Idempotency key of an attempt: one start of a batch is exactly one flow run."""
    return f"{entity_id}/{attempt}"

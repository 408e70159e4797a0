"""Takes the Jobs of cancelled flow runs away.

Prefect's Kubernetes worker hears of a cancellation only while it submits the flow run: a pod that waits for a node, or
an image that cannot be pulled, would stay for ever (prefect#18744).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import anyio
import structlog
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, BatchV1Api
from kubernetes_asyncio.client.exceptions import ApiException
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.objects import StateType as State
from prefect.states import Cancelled

from workers.health import Liveness

log = structlog.get_logger()

LOOK_SECONDS = 2.0
GRACE_SECONDS = 5.0
"""The trial hears of the cancel in its heartbeat (3 s), ends its sample and gives its batch back."""
TURN_SECONDS = 30.0
FLOW_RUN = "prefect.io/flow-run-id"
SELECTOR = f"app.kubernetes.io/component=trial,app.kubernetes.io/part-of=corepoint,{FLOW_RUN}"
PAGE = 200
"""Prefect's largest page."""
NOT_FOUND = 404


@dataclass(frozen=True)
class Cluster:
    """The Jobs of one namespace."""

    jobs: BatchV1Api
    namespace: str

    async def trials(self) -> dict[UUID, str]:
        """Names of the Jobs that are not being deleted yet, by flow run."""
        # Version 0: from the API server's cache, which is soon enough for a look every other second.
        found = await self.jobs.list_namespaced_job(self.namespace, label_selector=SELECTOR, resource_version="0")
        return {
            UUID(job.metadata.labels[FLOW_RUN]): str(job.metadata.name)
            for job in found.items
            if job.metadata.deletion_timestamp is None
        }

    async def delete(self, name: str) -> None:
        """The Job goes when its pod is gone. One that is gone is as good as deleted."""
        try:
            await self.jobs.delete_namespaced_job(name, self.namespace, propagation_policy="Foreground")
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise


async def keep_away(namespace: str, liveness: Liveness) -> None:
    """Until cancelled. Whatever cannot be reached is tried again."""
    while True:
        try:
            async with cluster(namespace) as found, get_client() as prefect:
                while True:
                    with anyio.fail_after(TURN_SECONDS):
                        await sweep(found, prefect, datetime.now(UTC))
                    liveness.note()
                    await anyio.sleep(LOOK_SECONDS)
        except Exception as error:
            # Prefect or the API server is away: restarting this worker would bring back neither.
            log.warning("cancelled Jobs cannot be looked for", error=repr(error))
            liveness.note()
            await anyio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def cluster(namespace: str) -> AsyncIterator[Cluster]:
    """By the pod's ServiceAccount, else by KUBECONFIG."""
    try:
        config.load_incluster_config()  # type: ignore[no-untyped-call]
        client = ApiClient()
    except config.ConfigException:
        client = await config.new_client_from_config()
    async with client:
        yield Cluster(BatchV1Api(client), namespace)


async def sweep(found: Cluster, prefect: PrefectClient, now: datetime) -> int:
    """Answers how many Jobs were deleted. A flow run that Prefect does not know is left alone: it may have been
    emptied, and what runs goes on."""
    jobs = await found.trials()
    deleted = 0
    for flow_run in await _cancelled(prefect, list(jobs)):
        state: Any = flow_run.state
        if state.type is State.CANCELLING and now - state.timestamp < timedelta(seconds=GRACE_SECONDS):
            continue
        await found.delete(jobs[flow_run.id])
        log.info("job deleted", job=jobs[flow_run.id], flow_run=str(flow_run.id))
        deleted += 1
        if state.type is State.CANCELLING:
            await prefect.set_flow_run_state(flow_run.id, Cancelled(message="Its Job was deleted."), force=True)
    return deleted


async def _cancelled(prefect: PrefectClient, ids: list[UUID]) -> list[FlowRun]:
    wanted = FlowRunFilterState(type=FlowRunFilterStateType(any_=[State.CANCELLING, State.CANCELLED]))
    found: list[FlowRun] = []
    for begin in range(0, len(ids), PAGE):
        page = FlowRunFilter(id=FlowRunFilterId(any_=ids[begin : begin + PAGE]), state=wanted)
        found += await prefect.read_flow_runs(flow_run_filter=page, limit=PAGE)
    return found

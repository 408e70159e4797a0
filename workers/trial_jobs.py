"""Prefect's Kubernetes worker, with one Job per attempt: its name is the attempt's, so a second start finds the first.

It overrides a public method of a pinned version. See docs/decisions/0010-isolation.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.abc
from kubernetes_asyncio.client.exceptions import ApiException
from prefect.exceptions import InfrastructureError
from prefect_kubernetes.worker import (
    KubernetesWorker,
    KubernetesWorkerJobConfiguration,
    KubernetesWorkerResult,
)

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

EXISTS_ALREADY = 409


class TrialJobs(KubernetesWorker):  # type: ignore[misc]  # it has no types
    """Serves every queue of the pool, which the dispatcher makes: with our template, never with Prefect's own."""

    def __init__(self, pool: str, name: str) -> None:
        super().__init__(work_pool_name=pool, name=name, create_pool_if_not_found=False)

    @classmethod
    def __dispatch_key__(cls) -> str:
        """In Prefect's catalogue of classes beside its own; to its server the type stays `kubernetes`."""
        return "trial-jobs"

    async def run(
        self,
        flow_run: FlowRun,
        configuration: KubernetesWorkerJobConfiguration,
        task_status: anyio.abc.TaskStatus[str] | None = None,
    ) -> KubernetesWorkerResult:
        """Ends when the Job exists. One that exists already was made by a worker that could not say so any more."""
        try:
            return await super().run(flow_run, configuration, task_status)
        except InfrastructureError as error:
            cause = error.__cause__
            if not isinstance(cause, ApiException) or cause.status != EXISTS_ALREADY:
                raise
        identifier = f"{configuration.namespace}:{configuration.job_manifest['metadata']['name']}"
        self.get_flow_run_logger(flow_run).info("The Kubernetes Job %s is there already", identifier)
        if task_status is not None:
            task_status.started(identifier)
        return KubernetesWorkerResult(identifier=identifier, status_code=0)

"""The Kubernetes API, as far as the control plane needs it: worker pods and SparkApplications of this release."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import stamina

from app.settings import KubernetesSettings

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, CoreV1Api, CustomObjectsApi

QUEUE_LABEL = "corepoint.io/queue"
BATCH_LABEL = "corepoint.io/batch"
ATTEMPT_LABEL = "corepoint.io/attempt"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
SPARK_APPLICATIONS = ("sparkoperator.k8s.io", "v1beta2", "sparkapplications")
_NOT_FOUND = 404
_PAGE = 500
T = TypeVar("T")


@dataclass(frozen=True)
class WorkerPod:
    """`reason`: why its container ended last (OOMKilled, Error), or why it does not start. `deletion_cost` as set."""

    name: str
    queue: str
    phase: str
    ready: bool
    terminating: bool
    started_at: datetime | None
    reason: str | None
    node: str | None
    deletion_cost: int


@dataclass(frozen=True)
class SparkApplicationRef:
    name: str
    batch_id: str
    attempt: int
    state: str


class KubernetesGateway:
    """Inside a pod, by its ServiceAccount. Calls run in threads and are bounded in time."""

    def __init__(self, settings: KubernetesSettings, client: ApiClient | None = None) -> None:
        assert settings.namespace is not None, "a gateway needs a namespace"  # noqa: S101 - the composition root's part
        self._namespace = settings.namespace
        self._selector = f"app.kubernetes.io/part-of=corepoint,app.kubernetes.io/instance={settings.instance}"
        self._seconds = settings.timeout_seconds
        self._given = client

    async def worker_pods(self) -> list[WorkerPod]:
        return await self._bounded(self._worker_pods)

    async def set_deletion_cost(self, pod: str, cost: int) -> None:
        """A pod that is gone needs none."""
        await self._bounded(self._set_deletion_cost, pod, cost)

    async def spark_applications(self) -> list[SparkApplicationRef]:
        """Those of batches; none where the operator's resource does not exist."""
        return await self._bounded(self._spark_applications)

    async def delete_spark_application(self, name: str) -> None:
        """One that is gone is as good as deleted."""
        await self._bounded(self._delete_spark_application, name)

    async def _bounded(self, call: Callable[..., T], *arguments: Any) -> T:
        async for attempt in stamina.retry_context(
            on=_may_pass, attempts=3, timeout=2 * self._seconds, wait_initial=0.2, wait_max=2.0
        ):
            with attempt:
                return await asyncio.to_thread(call, *arguments)
        raise AssertionError("stamina ends by returning or raising")

    @cached_property
    def _client(self) -> ApiClient:
        # Imported here: its hundreds of modules cost a second, and embedded mode needs none of them.
        from kubernetes import client, config

        if self._given is not None:
            return self._given
        config.load_incluster_config()  # type: ignore[no-untyped-call]
        return client.ApiClient()

    @cached_property
    def _core(self) -> CoreV1Api:
        from kubernetes.client import CoreV1Api

        return CoreV1Api(self._client)

    @cached_property
    def _custom(self) -> CustomObjectsApi:
        from kubernetes.client import CustomObjectsApi

        return CustomObjectsApi(self._client)

    def _worker_pods(self) -> list[WorkerPod]:
        selector = f"{self._selector},app.kubernetes.io/component=worker"
        found = self._core.list_namespaced_pod(self._namespace, label_selector=selector, _request_timeout=self._seconds)
        return [_worker_pod(pod) for pod in found.items]

    def _set_deletion_cost(self, pod: str, cost: int) -> None:
        from kubernetes.client import ApiException

        body = {"metadata": {"annotations": {DELETION_COST: str(cost)}}}
        try:
            self._core.patch_namespaced_pod(pod, self._namespace, body, _request_timeout=self._seconds)
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise

    def _spark_applications(self) -> list[SparkApplicationRef]:
        from kubernetes.client import ApiException

        group, version, plural = SPARK_APPLICATIONS
        try:
            found: Any = self._custom.list_namespaced_custom_object(
                group, version, self._namespace, plural,
                label_selector=self._selector, limit=_PAGE, _request_timeout=self._seconds,
            )  # fmt: skip
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return []
            raise
        return list(_applications(found["items"]))

    def _delete_spark_application(self, name: str) -> None:
        from kubernetes.client import ApiException

        group, version, plural = SPARK_APPLICATIONS
        try:
            self._custom.delete_namespaced_custom_object(
                group, version, self._namespace, plural, name, _request_timeout=self._seconds
            )
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise


def _may_pass(error: Exception) -> bool:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    if isinstance(error, ApiException):
        return error.status in {0, 429, 500, 502, 503, 504}
    return isinstance(error, HTTPError)


def _worker_pod(pod: Any) -> WorkerPod:
    # Generated models call every field optional; the API server fills those read here.
    status, metadata = pod.status, pod.metadata
    container = (status.container_statuses or [None])[0]
    conditions = {condition.type: condition.status for condition in status.conditions or []}
    annotations = metadata.annotations or {}
    running = container.state.running if container else None
    return WorkerPod(
        name=metadata.name,
        queue=metadata.labels.get(QUEUE_LABEL, ""),
        phase=status.phase,
        ready=conditions.get("Ready") == "True",
        terminating=metadata.deletion_timestamp is not None,
        started_at=running.started_at if running else None,
        reason=_reason(pod, container),
        node=pod.spec.node_name,
        deletion_cost=int(annotations.get(DELETION_COST, 0)),
    )


def _reason(pod: Any, container: Any) -> str | None:
    """The most telling word there is: of the end, of what it waits for, of the pod."""
    if container is not None:
        for state in (container.state.terminated, container.last_state.terminated, container.state.waiting):
            if state is not None and state.reason:
                return str(state.reason)
    return str(pod.status.reason) if pod.status.reason else None


def _applications(items: Iterable[dict[str, Any]]) -> Iterable[SparkApplicationRef]:
    for item in items:
        labels = item["metadata"].get("labels", {})
        if BATCH_LABEL in labels and labels.get(ATTEMPT_LABEL, "").isdigit():
            state = item.get("status", {}).get("applicationState", {}).get("state", "")
            yield SparkApplicationRef(item["metadata"]["name"], labels[BATCH_LABEL], int(labels[ATTEMPT_LABEL]), state)

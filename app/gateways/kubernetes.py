"""The Kubernetes API, as far as the control plane needs it: what belongs to this release."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import stamina

from app.gateways.kubernetes_objects import (
    DELETION_COST,
    SparkApplicationRef,
    TrialJob,
    TrialPod,
    WorkerPod,
    spark_application_refs,
    trial_job,
    trial_pod,
    worker_pod,
)
from app.settings import KubernetesSettings

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, BatchV1Api, CoreV1Api, CustomObjectsApi

__all__ = ["KubernetesGateway", "SparkApplicationRef", "TrialJob", "TrialPod", "WorkerPod"]

SPARK_APPLICATIONS = ("sparkoperator.k8s.io", "v1beta2", "sparkapplications")
_IMPORTING = threading.Lock()
_NOT_FOUND = 404
_PAGE = 500
T = TypeVar("T")


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

    async def trial_jobs(self) -> list[TrialJob]:
        """Of isolated trials; at most a page of them."""
        return await self._bounded(self._trial_jobs)

    async def trial_pods(self) -> list[TrialPod]:
        return await self._bounded(self._trial_pods)

    async def delete_job(self, name: str) -> None:
        """With its pod. One that is gone is as good as deleted."""
        await self._bounded(self._delete_job, name)

    async def last_warning(self, job: str) -> str:
        """What Kubernetes complains of about a Job, a quota that refuses its pod for example; empty if nothing."""
        return await self._bounded(self._last_warning, job)

    def watched(self, seconds: float) -> Iterator[WorkerPod]:
        """Pods that may measure, workers' and trials', each time they change. Blocks, and ends after `seconds`."""
        core = self._core
        from kubernetes.watch import Watch

        selector = f"{self._selector},app.kubernetes.io/component in (worker,trial)"
        events = Watch().stream(  # type: ignore[no-untyped-call]
            core.list_namespaced_pod, self._namespace, label_selector=selector,
            timeout_seconds=int(seconds), _request_timeout=seconds + self._seconds,
        )  # fmt: skip
        for event in events:
            yield worker_pod(event["object"])

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
        if self._given is not None:
            return self._given
        # Imported here: its hundreds of modules cost a second, and embedded mode needs none of them. By one thread at a
        # time: two that import modules that import each other may see half of one.
        with _IMPORTING:
            from kubernetes import client, config, watch  # noqa: F401
        config.load_incluster_config()  # type: ignore[no-untyped-call]
        return client.ApiClient()

    @cached_property
    def _core(self) -> CoreV1Api:
        client = self._client
        from kubernetes.client import CoreV1Api

        return CoreV1Api(client)

    @cached_property
    def _batch(self) -> BatchV1Api:
        client = self._client
        from kubernetes.client import BatchV1Api

        return BatchV1Api(client)

    @cached_property
    def _custom(self) -> CustomObjectsApi:
        client = self._client
        from kubernetes.client import CustomObjectsApi

        return CustomObjectsApi(client)

    def _worker_pods(self) -> list[WorkerPod]:
        selector = f"{self._selector},app.kubernetes.io/component=worker"
        found = self._core.list_namespaced_pod(self._namespace, label_selector=selector, _request_timeout=self._seconds)
        return [worker_pod(pod) for pod in found.items]

    def _trial_jobs(self) -> list[TrialJob]:
        selector = f"{self._selector},app.kubernetes.io/component=trial"
        found = self._batch.list_namespaced_job(
            self._namespace, label_selector=selector, limit=_PAGE, _request_timeout=self._seconds
        )
        return [one for job in found.items if (one := trial_job(job)) is not None]

    def _trial_pods(self) -> list[TrialPod]:
        selector = f"{self._selector},app.kubernetes.io/component=trial"
        found = self._core.list_namespaced_pod(self._namespace, label_selector=selector, _request_timeout=self._seconds)
        return [one for pod in found.items if (one := trial_pod(pod)) is not None]

    def _delete_job(self, name: str) -> None:
        from kubernetes.client import ApiException

        try:
            self._batch.delete_namespaced_job(
                name, self._namespace, propagation_policy="Foreground", _request_timeout=self._seconds
            )
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise

    def _last_warning(self, job: str) -> str:
        about = f"involvedObject.kind=Job,involvedObject.name={job},type=Warning"
        found = self._core.list_namespaced_event(
            self._namespace, field_selector=about, limit=_PAGE, _request_timeout=self._seconds
        )
        return str(found.items[-1].message or "") if found.items else ""

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
        return list(spark_application_refs(found["items"]))

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

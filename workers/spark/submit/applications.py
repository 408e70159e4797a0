"""SparkApplications and their pods in the Kubernetes API, as far as a submitter needs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import stamina

from app.contracts.failures import Failure, FailureCode
from workers.spark.submit.application import DRIVER_CONTAINER, GROUP, PLURAL, VERSION
from workers.spark.submit.owner import owner
from workers.spark.submit.status import Observation, PodView

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api

T = TypeVar("T")
_SECONDS = 10.0
_PERSIST_SECONDS = 60.0
_NOT_FOUND, _CONFLICT = 404, 409
_REFUSED = frozenset({400, 401, 403, 422})
LOG_LINES, LOG_BYTES = 200, 16 * 1024


class RefusedError(Exception):
    """The API server does not take the application."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Applications:
    """Of one namespace, by the pod's ServiceAccount or the kubeconfig. Calls are bounded, and repeated for a while."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def create(self, body: dict[str, Any]) -> bool:
        """False: one of this name is there already, and is adopted. Raises RefusedError."""
        from kubernetes.client import ApiException

        if (reference := owner()) is not None:
            body = {**body, "metadata": {**body["metadata"], "ownerReferences": [reference]}}
        try:
            self._persist(
                lambda: self._custom.create_namespaced_custom_object(
                    GROUP, VERSION, self._namespace, PLURAL, body, _request_timeout=_SECONDS
                )
            )
        except ApiException as error:
            if error.status == _CONFLICT:
                return False
            if error.status in _REFUSED:
                raise RefusedError(_refusal(error)) from error
            if error.status == _NOT_FOUND:
                text = "the cluster has no SparkApplications (sparkoperator.k8s.io/v1beta2)"
                hint = "Install the Spark operator, or set the submitter of the queue spark to local."
                raise RefusedError(Failure.of(FailureCode.SPARK_SUBMIT, text, hint)) from error
            raise
        return True

    def look(self, name: str, labels: dict[str, str]) -> Observation | None:
        """The application and the pods with these labels; None if both are gone."""
        from kubernetes.client import ApiException

        now = datetime.now(UTC)
        pods = self._pods(labels, now)
        try:
            found = self._custom.get_namespaced_custom_object(
                GROUP, VERSION, self._namespace, PLURAL, name, _request_timeout=_SECONDS
            )
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise
            return Observation("", "", 0.0, pods) if pods else None
        state = found.get("status", {}).get("applicationState", {})
        born = datetime.fromisoformat(found["metadata"]["creationTimestamp"])
        return Observation(state.get("state", ""), state.get("errorMessage", ""), (now - born).total_seconds(), pods)

    def names(self, labels: dict[str, str]) -> list[str]:
        found = self._persist(
            lambda: self._custom.list_namespaced_custom_object(
                GROUP, VERSION, self._namespace, PLURAL, label_selector=_selector(labels), _request_timeout=_SECONDS
            )
        )
        return [item["metadata"]["name"] for item in found["items"]]

    def delete(self, name: str) -> None:
        """One that is gone is as good as deleted."""
        from kubernetes.client import ApiException

        try:
            self._persist(
                lambda: self._custom.delete_namespaced_custom_object(
                    GROUP, VERSION, self._namespace, PLURAL, name, _request_timeout=_SECONDS
                )
            )
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise

    def log_tail(self, pod: str) -> str:
        """The last lines of a driver; why there are none, if there are none."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            lines = self._core.read_namespaced_pod_log(
                pod, self._namespace, container=DRIVER_CONTAINER, tail_lines=LOG_LINES, _request_timeout=_SECONDS
            )
        except (ApiException, HTTPError) as error:
            return f"(no log: {type(error).__name__})"
        return str(lines)[-LOG_BYTES:]

    def _pods(self, labels: dict[str, str], now: datetime) -> list[PodView]:
        # As JSON: a table of such answers is what the tests of PodView hold.
        answer: Any = self._core.list_namespaced_pod(
            self._namespace, label_selector=_selector(labels), _request_timeout=_SECONDS, _preload_content=False
        )
        return [PodView.of(pod, now) for pod in json.loads(answer.data)["items"]]

    def _persist(self, call: Callable[[], T]) -> T:
        for attempt in stamina.retry_context(
            on=may_pass, attempts=None, timeout=_PERSIST_SECONDS, wait_initial=0.2, wait_max=5.0
        ):
            with attempt:
                return call()
        raise AssertionError("stamina ends by returning or raising")

    @cached_property
    def _custom(self) -> Any:  # a CustomObjectsApi, whose answers have no types
        from kubernetes.client import CustomObjectsApi

        return CustomObjectsApi(self._client)

    @cached_property
    def _core(self) -> CoreV1Api:
        from kubernetes.client import CoreV1Api

        return CoreV1Api(self._client)

    @cached_property
    def _client(self) -> Any:
        # Imported here: its hundreds of modules cost a second, and most batches need none of them.
        from kubernetes import client, config

        try:
            config.load_incluster_config()  # type: ignore[no-untyped-call]
        except config.ConfigException:
            config.load_kube_config()  # type: ignore[no-untyped-call]  # a worker outside the cluster
        return client.ApiClient()


def may_pass(error: Exception) -> bool:
    """The API server is away or busy."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    if isinstance(error, ApiException):
        return error.status in {0, 429, 500, 502, 503, 504}
    return isinstance(error, HTTPError)


def _selector(labels: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _refusal(error: Any) -> Failure:
    try:
        reason = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        reason = error.reason
    code = FailureCode.UNSCHEDULABLE if "exceeded quota" in str(reason) else FailureCode.SPARK_SUBMIT
    return Failure.of(code, f"the cluster refuses the application: {reason}")

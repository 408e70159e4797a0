"""external.metrics.k8s.io/v1beta1, as the aggregator of the Kubernetes API server asks for it.

The API server has checked who asks and what they may read. What is left to check is that it is the API server: its
front-proxy certificate, see `app.metrics.trust`. Errors are Kubernetes' Status objects. The aggregator also looks for
/openapi and /apis, and takes 404 for an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.metrics import catalogue
from app.metrics.label_selector import SelectorError, parse
from app.metrics.latest import Latest, UnreadableError
from app.metrics.readings import QueueReading, Readings
from app.metrics.tls import common_names
from app.metrics.trust import Trust

GROUP_VERSION = "external.metrics.k8s.io/v1beta1"
ROOT = f"/apis/{GROUP_VERSION}"
EXTERNAL: Final[Mapping[str, Callable[[QueueReading], int]]] = {
    catalogue.DEMAND.name: lambda reading: reading.demand,
    catalogue.WAITING.name: lambda reading: reading.waiting,
    catalogue.RUNNING.name: lambda reading: reading.running,
    catalogue.OLDEST_WAIT.name: lambda reading: int(reading.oldest_wait_seconds),
}
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    503: "ServiceUnavailable",
}


def external_app(latest: Latest, namespace: str, trust: Callable[[], Trust]) -> ASGIApp:
    """Serves the queues of this installation as metrics of `namespace`, to whom `trust` names."""

    async def discovery(_: Request) -> Response:
        return JSONResponse(_resources())

    async def values(request: Request) -> Response:
        metric, asked = request.path_params["metric"], request.path_params["namespace"]
        if metric not in EXTERNAL or asked != namespace:
            return _status(
                404, f"There is no metric {metric} in namespace {asked}; {namespace} has {', '.join(EXTERNAL)}."
            )
        try:
            selected = parse(request.query_params.get("labelSelector", ""))
            readings = await latest.get()
        except SelectorError as error:
            return _status(400, f"labelSelector: {error}.")
        except UnreadableError as error:
            return _status(503, str(error))
        items = _items(metric, readings)
        return JSONResponse(
            {
                "kind": "ExternalMetricValueList",
                "apiVersion": GROUP_VERSION,
                "metadata": {},
                "items": [item for item in items if selected(item["metricLabels"])],
            }
        )

    routes = [Route(ROOT, discovery), Route(f"{ROOT}/namespaces/{{namespace}}/{{metric}}", values)]
    return _FrontProxyOnly(Starlette(routes=routes, exception_handlers={HTTPException: _refused}), trust)


class _FrontProxyOnly:
    """The handshake has verified the chain; here the certificate's name must be one of the front proxy's."""

    def __init__(self, app: ASGIApp, trust: Callable[[], Trust]) -> None:
        self._app = app
        self._trust = trust

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        certificate = scope.get("state", {}).get("peer_certificate")
        if not certificate:
            await _status(401, "A client certificate of the front proxy is needed.")(scope, receive, send)
        elif not self._trust().admits(common_names(certificate)):
            await _status(403, "The client certificate is not the front proxy's.")(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _resources() -> dict[str, Any]:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": GROUP_VERSION,
        "resources": [
            {"name": name, "singularName": "", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
            for name in EXTERNAL
        ],
    }


def _items(metric: str, readings: Readings) -> list[dict[str, Any]]:
    """One per queue, idle ones included: for an HPA no item is an error."""
    timestamp = readings.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return [
        {
            "metricName": metric,
            "metricLabels": {"queue": str(queue)},
            "timestamp": timestamp,
            "value": str(EXTERNAL[metric](reading)),  # a Kubernetes quantity
        }
        for queue, reading in readings.queues.items()
    ]


def _status(code: int, message: str) -> JSONResponse:
    return JSONResponse(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": _REASONS.get(code, ""),
            "code": code,
        },
        status_code=code,
    )


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these alone
    return _status(error.status_code, error.detail)

"""What API and dispatcher are made of. The embedded mode builds both from here, in one process."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.db.engine import Database
from app.dispatcher.context import Context
from app.gateways.kubernetes import KubernetesGateway
from app.gateways.mlflow import MlflowGateway
from app.gateways.objects import open_store
from app.gateways.prefect import PrefectGateway
from app.gateways.webhooks import WebhookGateway
from app.resources import Resources
from app.settings import Settings
from app.ui.report.render import render_report
from workers.algorithms.registry import catalogue


@asynccontextmanager
async def api_resources(settings: Settings, database: Database) -> AsyncIterator[Resources]:
    prefect = PrefectGateway(settings.prefect)
    try:
        yield Resources(
            settings=settings,
            database=database,
            objects=open_store(settings.objects),
            catalogue=catalogue(),
            logs=prefect,
            render_report=render_report,
        )
    finally:
        await prefect.aclose()


@asynccontextmanager
async def dispatcher_context(settings: Settings, database: Database) -> AsyncIterator[Context]:
    # The MLflow client reads its limits from the environment only.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(int(settings.mlflow.timeout_seconds)))
    # A repeated create whose first answer was lost would make a second run: we look before we ask again.
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    prefect = PrefectGateway(settings.prefect)
    webhooks = WebhookGateway(settings.notifications)
    tracking_uri = settings.mlflow.tracking_uri
    mlflow = MlflowGateway(tracking_uri, settings.mlflow.away_seconds) if tracking_uri else None
    try:
        yield Context(
            settings=settings,
            database=database,
            objects=open_store(settings.objects),
            prefect=prefect,
            mlflow=mlflow,
            webhooks=webhooks,
            catalogue=catalogue(),
            kubernetes=KubernetesGateway(settings.kubernetes) if settings.kubernetes.namespace else None,
        )
    finally:
        await prefect.aclose()
        await webhooks.aclose()
        if mlflow is not None:
            mlflow.close()

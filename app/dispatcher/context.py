"""What handlers and reconcilers work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.contracts.objects import ObjectStore
from app.db.engine import Database
from app.gateways.kubernetes import KubernetesGateway
from app.gateways.mlflow import MlflowGateway
from app.gateways.prefect import PrefectGateway
from app.gateways.webhooks import WebhookGateway
from app.settings import Settings
from workers.algorithms.adapter import Adapter


@dataclass(frozen=True)
class Context:
    settings: Settings
    database: Database
    objects: ObjectStore
    prefect: PrefectGateway
    mlflow: MlflowGateway | None
    webhooks: WebhookGateway
    catalogue: Mapping[str, Adapter[Any]]
    kubernetes: KubernetesGateway | None = None


class NotYetError(Exception):
    """What a handler needs is known to be away: the row is due again at `due_at`. Thousands may say so at once."""

    def __init__(self, reason: str, due_at: datetime) -> None:
        super().__init__(reason)
        self.due_at = due_at


Handler = Callable[[Context, UUID], Awaitable[datetime | None]]
"""Brings one entity to its wanted state. Answers when to look again, or None. Raises to be tried again."""

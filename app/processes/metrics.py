"""Queue metrics for Prometheus, and the external metrics API that the autoscaler asks."""

from __future__ import annotations

from app.metrics import server
from app.settings import Settings


async def serve(settings: Settings) -> None:
    """Until cancelled."""
    await server.serve(settings)

"""What things of ours are called at Prefect."""

from __future__ import annotations

from uuid import UUID

from app.contracts.states import QueueName


def experiment_name(experiment: str, queue: QueueName) -> str:
    return f"{experiment}.{queue.value}"


def pods_name(experiment: str) -> str:
    """Of the one deployment for all isolated trials of the experiment."""
    return f"{experiment}.pods"


def run_key(entity_id: UUID, attempt: int) -> str:
    """Idempotency key of an attempt: one start of a batch is exactly one flow run."""
    return f"{entity_id}/{attempt}"

"""What one sample of a batch may use. The pod of an isolated batch is made for the same number."""

from __future__ import annotations

from app.contracts.experiment import Protocol
from app.db.models import Batch
from app.settings import QueueSettings


def memory_limit(batch: Batch, protocol: Protocol, queue: QueueSettings) -> int:
    """Bytes. An isolated batch may carry its own since it was planned; else the user's counts, else the queue's."""
    if batch.memory_limit_bytes is not None:
        return batch.memory_limit_bytes
    users = protocol.limits.memory
    return int(users) if users is not None else queue.memory_bytes

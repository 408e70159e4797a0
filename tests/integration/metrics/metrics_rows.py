"""Rows in the states that queues are made of, written as the control plane leaves them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert

from app.clock import new_id, now
from app.contracts.states import BatchState, DatasetState, QueueName, RunState, RunTrigger
from app.db.engine import Database
from app.db.models import Batch, Dataset, Experiment, Run, Work, WorkKind

_OWNED = frozenset({BatchState.SUBMITTED, BatchState.RUNNING})


@dataclass
class Rows:
    """One experiment; runs and batches are added to it."""

    database: Database
    experiment_id: UUID
    run_id: UUID

    @classmethod
    async def begin(cls, database: Database) -> Rows:
        experiment_id, run_id = new_id(), new_id()
        async with database.write() as session:
            session.add(Experiment(id=experiment_id, name="first", spec={}, spec_sha256="0" * 64, created_at=now()))
        made = cls(database, experiment_id, run_id)
        await made.run(RunState.QUEUED, run_id=run_id)
        return made

    async def run(self, state: RunState, ago: float = 0.0, run_id: UUID | None = None) -> UUID:
        made = run_id or new_id()
        async with self.database.write() as session:
            session.add(
                Run(
                    id=made,
                    experiment_id=self.experiment_id,
                    spec={},
                    trigger=RunTrigger.MANUAL,
                    state=state,
                    created_at=_before(ago),
                )
            )
        return made

    async def batches(
        self, number: int, state: BatchState, queue: QueueName = QueueName.DEFAULT, **values: Any
    ) -> None:
        """Without work rows. `ago`: seconds since they were submitted; `run_id`, `attempt` as in the table."""
        ago = values.pop("ago", 0.0)
        submitted_at = _before(ago) if state in _OWNED else None
        row = {
            "run_id": self.run_id, "position": 0, "queue": queue, "state": state, "attempt": 1, "version": 1,
            "estimated_seconds": 1.0, "order_seed": 0, "submitted_at": submitted_at, **values,
        }  # fmt: skip
        async with self.database.write() as session:
            await session.execute(insert(Batch), [{"id": uuid4(), **row} for _ in range(number)])

    async def waiting(
        self, due_in: float, queue: QueueName = QueueName.DEFAULT, attempts: int = 0, **values: Any
    ) -> UUID:
        """A waiting batch and its work row: due in so many seconds, after `attempts` failures."""
        batch_id = uuid4()
        await self.batches(1, BatchState.WAITING, queue, id=batch_id, **values)
        return await self.work(WorkKind.BATCH, due_in, attempts, batch_id)

    async def work(self, kind: WorkKind, due_in: float, attempts: int = 0, entity_id: UUID | None = None) -> UUID:
        entity_id = entity_id or uuid4()
        async with self.database.write() as session:
            session.add(Work(kind=kind, entity_id=entity_id, due_at=_before(-due_in), attempts=attempts))
        return entity_id

    async def dataset(self, state: DatasetState, ago: float = 0.0, **values: Any) -> None:
        dataset_id = new_id()
        async with self.database.write() as session:
            session.add(
                Dataset(id=dataset_id, name=str(dataset_id), spec={}, state=state, created_at=_before(ago), **values)
            )


def _before(seconds: float) -> datetime:
    return now() - timedelta(seconds=seconds)

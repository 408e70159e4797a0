"""Packs planned trials into batches: comparison blocks that are measured together, estimated at ten minutes or less."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from app.contracts.canonical import derived_id, derived_seed
from app.contracts.experiment import Protocol
from app.contracts.states import Isolation, QueueName
from app.domain.planned import Batch, Trial

MAX_BATCH_SECONDS: Final = 600.0
"""A batch is what a lost worker costs and what scaling down waits for."""

SAMPLE_OVERHEAD_SECONDS: Final = 1.0
"""Start of a child, loading, scoring and saving, per sample."""


_Place = tuple[QueueName, Isolation]


@dataclass(frozen=True)
class _Block:
    queue: QueueName
    dataset_sha256: str
    isolation: Isolation
    trials: tuple[Trial, ...]
    seconds: float

    @property
    def place(self) -> _Place:
        return (self.queue, self.isolation)

    def takes(self, other: _Block) -> bool:
        if self.place != other.place or self.isolation is Isolation.POD:
            return False
        return self.dataset_sha256 == other.dataset_sha256 and self.seconds + other.seconds <= MAX_BATCH_SECONDS

    def joined(self, other: _Block) -> _Block:
        return replace(self, trials=self.trials + other.trials, seconds=self.seconds + other.seconds)


def pack(run_id: UUID, groups: Iterable[Sequence[Trial]], protocol: Protocol) -> tuple[Batch, ...]:
    """Batches of the comparison groups `groups`, which are in order and hold each trial once, without the skipped ones.

    Trials of one group and queue stay together, so that their ratios are paired, unless they are too long for one
    batch; with `colocate` they stay together even then. A trial that is isolated by pod is a batch of its own.
    """
    last: dict[_Place, int] = {}
    blocks: list[_Block] = []
    for group in groups:
        for block in _blocks(group, protocol):
            neighbour = last.get(block.place)
            if neighbour is not None and blocks[neighbour].takes(block):
                blocks[neighbour] = blocks[neighbour].joined(block)
            else:
                last[block.place] = len(blocks)
                blocks.append(block)
    return tuple(_batch(run_id, position, block, protocol) for position, block in enumerate(blocks))


def trial_seconds(trial: Trial, protocol: Protocol) -> float:
    """Estimated seconds of all samples of one trial; no fit outlasts the limit of a sample."""
    fit = min(trial.prediction.fit_seconds, protocol.limits.sample_seconds) if trial.prediction else 0.0
    samples = protocol.rounds + 1
    return (samples + protocol.warm_up) * fit + samples * SAMPLE_OVERHEAD_SECONDS


def _blocks(group: Sequence[Trial], protocol: Protocol) -> list[_Block]:
    singles: dict[_Place, list[_Block]] = {}
    for trial in group:
        if trial.queue is not None:
            seconds = trial_seconds(trial, protocol)
            single = _Block(trial.queue, trial.dataset_sha256, trial.isolation, (trial,), seconds)
            singles.setdefault(single.place, []).append(single)
    blocks: list[_Block] = []
    for same_place in singles.values():
        pieces = [same_place[0]]
        for single in same_place[1:]:
            if protocol.colocate or pieces[-1].takes(single):
                pieces[-1] = pieces[-1].joined(single)
            else:
                pieces.append(single)
        blocks.extend(pieces)
    return blocks


def _batch(run_id: UUID, position: int, block: _Block, protocol: Protocol) -> Batch:
    trial_ids = tuple(trial.id for trial in block.trials)
    batch_id = derived_id(run_id, batch=[str(trial_id) for trial_id in trial_ids])
    order_seed = derived_seed(protocol.seed, purpose="order", batch=str(batch_id))
    return Batch(batch_id, position, block.queue, block.isolation, trial_ids, block.seconds, order_seed)

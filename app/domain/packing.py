"""Packs planned trials into batches: comparison blocks that are measured together, estimated at ten minutes or less."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.contracts.canonical import derived_id, derived_seed
from app.contracts.experiment import Protocol
from app.contracts.states import QueueName
from app.domain.planned import Batch, Trial

MAX_BATCH_SECONDS: Final = 600.0
"""A batch is what a lost worker costs and what scaling down waits for."""

SAMPLE_OVERHEAD_SECONDS: Final = 1.0
"""Start of a child, loading, scoring and saving, per sample."""


@dataclass(frozen=True)
class _Block:
    queue: QueueName
    dataset_sha256: str
    trials: tuple[Trial, ...]
    seconds: float

    def takes(self, other: _Block) -> bool:
        same_place = (self.queue, self.dataset_sha256) == (other.queue, other.dataset_sha256)
        return same_place and self.seconds + other.seconds <= MAX_BATCH_SECONDS

    def joined(self, other: _Block) -> _Block:
        return _Block(self.queue, self.dataset_sha256, self.trials + other.trials, self.seconds + other.seconds)


def pack(run_id: UUID, groups: Iterable[Sequence[Trial]], protocol: Protocol) -> tuple[Batch, ...]:
    """Batches of the comparison groups `groups`, which are in order and hold each trial once, without the skipped ones.

    Trials of one group and queue stay together, so that their ratios are paired, unless they are too long for one
    batch; with `colocate` they stay together even then.
    """
    last: dict[QueueName, int] = {}
    blocks: list[_Block] = []
    for group in groups:
        for block in _blocks(group, protocol):
            neighbour = last.get(block.queue)
            if neighbour is not None and blocks[neighbour].takes(block):
                blocks[neighbour] = blocks[neighbour].joined(block)
            else:
                last[block.queue] = len(blocks)
                blocks.append(block)
    return tuple(_batch(run_id, position, block, protocol) for position, block in enumerate(blocks))


def trial_seconds(trial: Trial, protocol: Protocol) -> float:
    """Estimated seconds of all samples of one trial; no fit outlasts the limit of a sample."""
    fit = min(trial.prediction.fit_seconds, protocol.limits.sample_seconds) if trial.prediction else 0.0
    samples = protocol.rounds + 1
    return (samples + protocol.warm_up) * fit + samples * SAMPLE_OVERHEAD_SECONDS


def _blocks(group: Sequence[Trial], protocol: Protocol) -> list[_Block]:
    singles: dict[QueueName, list[_Block]] = {}
    for trial in group:
        if trial.queue is not None:
            single = _Block(trial.queue, trial.dataset_sha256, (trial,), trial_seconds(trial, protocol))
            singles.setdefault(trial.queue, []).append(single)
    blocks: list[_Block] = []
    for same_queue in singles.values():
        pieces = [same_queue[0]]
        for single in same_queue[1:]:
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
    return Batch(batch_id, position, block.queue, trial_ids, block.seconds, order_seed)

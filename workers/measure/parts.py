"""A round that several attempts measured, each a part of it. Pure: what is kept of earlier attempts, and the whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from app.contracts.measurement import MEMORY_ROUND, Round, Sample, Scored


@dataclass(frozen=True)
class Piece:
    """One trial's share of a round. `scored` stands beside the good samples of the memory pass, and only there."""

    sample: Sample
    scored: Scored | None = None


def kept_pieces(parts: Iterable[Round]) -> dict[int, dict[UUID, Piece]]:
    """By round and trial. Of two samples of one trial the first in the order of `parts` counts, wherever both exist:
    whoever reads the parts later decides alike."""
    kept: dict[int, dict[UUID, Piece]] = {}
    for part in parts:
        scored = {one.trial_id: one for one in part.scored}
        for sample in part.samples:
            piece = Piece(sample, scored.get(sample.trial_id))
            if _is_complete(piece):
                kept.setdefault(part.number, {}).setdefault(sample.trial_id, piece)
    return kept


def filled(template: Round, pieces: Iterable[Piece]) -> Round:
    """`template` with the samples and scores of `pieces`, in their order."""
    given = list(pieces)
    return template.model_copy(
        update={
            "samples": [piece.sample for piece in given],
            "scored": [piece.scored for piece in given if piece.scored is not None],
        }
    )


def _is_complete(piece: Piece) -> bool:
    good_memory_pass = piece.sample.round == MEMORY_ROUND and piece.sample.failure is None
    return piece.scored is not None or not good_memory_pass

"""Where finished rounds go."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from uuid import UUID

from app.contracts.measurement import Artifact, Round


class RoundLog(Protocol):
    """The saved rounds of one batch, over all of its attempts. Calls block; what they raise ends the measurement."""

    def saved(self) -> dict[int, Round]:
        """Rounds that were saved before, by number."""
        ...

    def save(self, finished: Round, /) -> Round:
        """Write a complete round once. Returns the one that counts: another attempt's if that was first."""
        ...

    def saved_parts(self) -> list[Round]:
        """What earlier attempts measured of rounds that they did not finish, the earliest attempt first."""
        ...

    def save_part(self, part: Round, /) -> None:
        """Keep what this attempt measured of a round that it cannot finish. Best effort: the rest is measured again."""
        ...

    def publish_labels(self, trial_id: UUID, path: Path, /) -> Artifact:
        """Store labels.parquet of a trial; the file may be deleted afterwards."""
        ...

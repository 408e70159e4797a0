"""The log of a batch's rounds in the object store. A round is written once; whoever comes second adopts it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from uuid import UUID

import structlog
from pydantic import ValidationError

from app.contracts.assignment import BatchAssignment
from app.contracts.measurement import Artifact, Round
from app.contracts.objects import (
    ObjectExistsError,
    ObjectStore,
    StoreUnavailableError,
    labels_key,
    partial_round_key,
    partial_rounds_prefix,
    round_key,
    rounds_prefix,
)
from workers.patient_store import once

log = structlog.get_logger()
CHUNK_BYTES = 1 << 20


class StoredRounds:
    """Implements `workers.measure.roundlog.RoundLog` on an object store."""

    def __init__(self, store: ObjectStore, assignment: BatchAssignment) -> None:
        self._store = store
        self._assignment = assignment

    def saved(self) -> dict[int, Round]:
        """Rounds of this batch that some attempt has finished, by number. An unreadable object is not a round."""
        prefix = rounds_prefix(self._assignment.run_id, self._assignment.batch_id)
        rounds = (self._read(key) for key in sorted(self._store.keys(prefix)))
        return {found.number: found for found in rounds if found is not None}

    def save(self, finished: Round) -> Round:
        """Answers the round that counts: another attempt's, if that one was first."""
        key = round_key(self._assignment.run_id, self._assignment.batch_id, finished.number)
        body = finished.model_dump_json().encode()
        try:
            self._store.put_once(key, body)
        except ObjectExistsError:
            earlier = self._read(key)
            if earlier is not None:
                return earlier
            self._store.put(key, body)
        return finished

    def saved_parts(self) -> list[Round]:
        assignment = self._assignment
        if assignment.attempt == 1:
            return []  # nobody was here before: most batches are spared the question
        prefix = partial_rounds_prefix(assignment.run_id, assignment.batch_id)
        parts = (self._read(key) for key in self._store.keys(prefix))
        return sorted((part for part in parts if part is not None), key=lambda part: part.attempt)

    def save_part(self, part: Round) -> None:
        """A store that is away costs these samples, not the orderly end of the attempt."""
        key = partial_round_key(self._assignment.run_id, self._assignment.batch_id, part.number, part.attempt)
        try:
            once(self._store).put(key, part.model_dump_json().encode())
        except StoreUnavailableError as error:
            log.warning("partial round not saved, it will be measured again", key=key, error=str(error))

    def publish_labels(self, trial_id: UUID, path: Path) -> Artifact:
        key = labels_key(self._assignment.run_id, self._assignment.batch_id, self._assignment.attempt, trial_id)
        self._store.upload(key, path)
        return Artifact(key=key, sha256=_sha256(path), size_bytes=path.stat().st_size)

    def _read(self, key: str) -> Round | None:
        try:
            found = Round.model_validate_json(self._store.get(key))
        except ValidationError as error:
            log.warning("round unreadable, it will be measured again", key=key, error=str(error))
            return None
        if (found.run_id, found.batch_id) != (self._assignment.run_id, self._assignment.batch_id):
            log.warning("round of another batch, it will be measured again", key=key)
            return None
        return found


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()

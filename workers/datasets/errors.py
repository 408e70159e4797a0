"""The two ways a dataset is refused, each with a typed Failure."""

from __future__ import annotations

from typing import Any, NoReturn

from app.contracts.failures import Failure, FailureCode


class InvalidDataset(Exception):  # noqa: N818 - the name is part of the interface
    """The data, or what was asked of it, cannot be used. `failure` says why, with numbers and a hint."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ArtifactCorrupt(Exception):  # noqa: N818 - as above
    """A stored object is not what its record says."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def refuse(message: str, hint: str | None = None, **detail: Any) -> NoReturn:
    raise InvalidDataset(Failure.of(FailureCode.INVALID_DATA, message, hint, **detail))

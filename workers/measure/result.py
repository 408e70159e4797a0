"""What a block yields for each of its trials."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.contracts.failures import Failure
from app.contracts.measurement import Sample, Scored


@dataclass
class TrialResult:
    """All samples in the order of rounds, what round 0 learned, and the failure that ended the trial, if any."""

    samples: list[Sample] = field(default_factory=list)
    scored: Scored | None = None
    failure: Failure | None = None

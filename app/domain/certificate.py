"""The equivalence certificate, decided from two fingerprints alone (docs/methodology)."""

from __future__ import annotations

from app.contracts.measurement import Fingerprint
from app.contracts.states import Verdict

_APPROXIMATE = " (the algorithm is approximate: this holds for this data only and certifies nothing)"


def verdict(reference: Fingerprint, other: Fingerprint, exact: bool) -> tuple[Verdict, str]:
    """Same core set, same core partition, same noise, admissible borders: equivalent; same labels too: identical.

    `exact` is the capability of the algorithm under test; the sentence says so where it is missing.
    """
    decided, reason = _decide(reference, other)
    return decided, reason if exact else reason + _APPROXIMATE


def _decide(reference: Fingerprint, other: Fingerprint) -> tuple[Verdict, str]:
    differing = [
        part
        for part, here, there in (
            ("core points", reference.core_sha256, other.core_sha256),
            ("clusters of the core points", reference.partition_sha256, other.partition_sha256),
            ("noise points", reference.noise_sha256, other.noise_sha256),
        )
        if here != there
    ]
    if differing:
        return Verdict.DIFFERENT, f"differs from the reference in its {', '.join(differing)}"
    for whose, borders in (
        ("the result", other.inadmissible_borders),
        ("the reference", reference.inadmissible_borders),
    ):
        if borders:
            return Verdict.DIFFERENT, f"{whose} puts {borders} border point(s) into a cluster that does not reach them"
    if reference.labels_sha256 == other.labels_sha256:
        return Verdict.IDENTICAL, "every label equals the reference's"
    if reference.inadmissible_borders is None or other.inadmissible_borders is None:
        return Verdict.DIFFERENT, "labels of border points differ, and whether they are admissible was not checked"
    return Verdict.BORDER_ONLY, "equivalent: only border points between clusters chose another admissible cluster"

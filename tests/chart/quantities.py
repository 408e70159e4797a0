"""Kubernetes' quantities as numbers."""

from __future__ import annotations

import re

_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}


def bytes_of(quantity: str | float) -> float:
    found = re.fullmatch(r"([0-9.]+)([kMGT]i?|Ki)?", str(quantity))
    assert found, f"{quantity} is no amount of memory"
    return float(found[1]) * _UNITS[found[2] or ""]


def cpus_of(quantity: str | float) -> float:
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)

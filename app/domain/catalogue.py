"""What the planner needs of an algorithm. `workers.algorithms.adapter.Adapter` has it; nothing of it is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from app.contracts.algorithm import AlgorithmInfo, Prediction, Workload


class Algorithm(Protocol):
    @property
    def info(self) -> AlgorithmInfo: ...

    def canonical_parameters(self, values: dict[str, Any]) -> dict[str, Any]:
        """All parameters with their defaults, as JSON values. Raises pydantic.ValidationError."""
        ...

    def predict(self, parameters: dict[str, Any], workload: Workload) -> Prediction: ...

    def unsupported(self, parameters: dict[str, Any], n: int, d: int) -> str | None: ...


Catalogue = Mapping[str, Algorithm]
"""Algorithms by name, as `workers.algorithms.registry.catalogue()` gives them."""

"""What the catalogue says of an algorithm; the implementation is an adapter in `workers.algorithms`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.contracts.base import Message


class Capabilities(Message):
    exact: bool = Field(description="meets the exactness contract of docs/methodology; else never certified")
    parallel: bool = Field(description="uses all threads of its quota")
    distributed: bool = Field(description="runs on Spark: routed to the spark queue unless colocated")
    session: bool = Field(description="keeps one process per batch, because its start is expensive")
    max_dimensions: int | None = None
    requires: list[str] = Field(default_factory=list, description="what the worker must have, e.g. java")


class AlgorithmInfo(Message):
    """One entry of the catalogue."""

    name: str
    version: str = Field(description="changes whenever results or timings could; part of the reuse key")
    title: str
    description: str
    library: str
    problem_parameters: list[str] = Field(description="parameters that define the task, e.g. eps and min_samples")
    parameters_schema: dict[str, Any]
    capabilities: Capabilities


class Workload(Message):
    """What a memory or time model may know of a trial before it runs."""

    n: int = Field(ge=1)
    d: int = Field(ge=1)
    mean_neighbours: float = Field(ge=0, description="expected points within eps, the point itself included")
    threads: int = Field(ge=1)


class Prediction(Message):
    """An adapter's own model of one fit: extra memory above the loaded data, and time."""

    peak_bytes: int = Field(ge=0)
    fit_seconds: float = Field(ge=0)

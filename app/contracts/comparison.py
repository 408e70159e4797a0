"""The answer to the user's question: same result? which is faster, by how much? what memory?"""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from app.contracts.base import Message
from app.contracts.failures import Failure
from app.contracts.measurement import Environment, MemoryFigure, Quality
from app.contracts.states import RunState, RunTrigger, TrialState, Verdict


class Timing(Message):
    """Fit seconds over all good samples of a trial."""

    samples: list[float]
    median: float
    minimum: float
    spread: float = Field(description="interquartile range")


class Ratio(Message):
    """Reference time / this time: above 1 is faster than the reference. Bootstrap percentile interval."""

    estimate: float = Field(description="ratio of medians")
    low: float
    high: float
    confidence: float = 0.95
    paired: bool = Field(description="measured interleaved in one batch; else drift is not excluded")
    rounds: int


class Entry(Message):
    """One trial in a comparison."""

    trial_id: UUID
    label: str
    algorithm: str
    algorithm_version: str
    parameters: dict[str, Any]
    state: TrialState
    is_reference: bool
    reused: bool = False
    verdict: Verdict | None = Field(default=None, description="against the reference; None: nothing to compare")
    verdict_reason: str = ""
    timing: Timing | None = None
    ratio: Ratio | None = None
    cpu_seconds: float | None = Field(default=None, description="median CPU time of a fit")
    memory: MemoryFigure | None = None
    predicted_bytes: int | None = None
    points_per_second: float | None = None
    quality: Quality | None = None
    failure: Failure | None = None
    on_pareto_front: bool = Field(default=False, description="no other certified entry is better in time and memory")


class Group(Message):
    """Trials of one task: the same dataset version, sample size and problem parameters."""

    dataset: str
    dataset_sha256: str
    sample_size: int
    d: int
    problem: dict[str, Any]
    entries: list[Entry]


class PairTest(Message):
    """Wilcoxon signed-rank over groups, Holm-corrected. Groups are the blocks, never repeats."""

    first: str
    second: str
    p_holm: float
    blocks: int


class Growth(Message):
    """Least-squares exponent of median fit time over sample size, for one label and task."""

    label: str
    dataset: str
    problem: dict[str, Any]
    exponent: float
    sizes: list[int]
    medians: list[float]


class Statistics(Message):
    pairs: list[PairTest] = []
    friedman_p: float | None = None
    mean_ranks: dict[str, float] = {}
    reason: str = Field(default="", description="why there are no tests, e.g. fewer than 6 groups")
    growth: list[Growth] = []


class Comparison(Message):
    """GET /v1/runs/{id}/comparison. Gate first, time second: only certified entries are ranked."""

    format: Literal["corepoint.comparison/v1"] = "corepoint.comparison/v1"
    experiment: str
    description: str = ""
    run_id: UUID
    state: RunState
    trigger: RunTrigger = RunTrigger.MANUAL
    remarks: list[str] = Field(default_factory=list, description="what to know before its figures are used")
    reference: str
    rounds: int
    groups: list[Group]
    statistics: Statistics
    environments: list[Environment]

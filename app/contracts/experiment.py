"""The experiment specification: what a user writes. `apiVersion: corepoint/v1`, `kind: Experiment`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, AnyHttpUrl, ByteSize, Field, StringConstraints, model_validator

from app.contracts.base import API_VERSION, Document, Moment, ResourceName, Scalar
from app.contracts.states import QueueName

MAX_TRIALS = 5_000
"""Trials in one run. A grid beyond it is refused before it is expanded (craft.md 4.2, quotas)."""
MAX_AXIS = 1_000
CRON_FIELDS = 5
YEARS = range(2000, 2101)
"""Of an anchor: at the ends of the calendar every computation with a zone overflows."""
ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]
Axis = Annotated[list[Scalar], Field(min_length=1, max_length=MAX_AXIS)]
Grid = dict[ParameterName, Scalar | Axis]
SampleSize = Annotated[int, Field(ge=1, le=10_000_000_000)] | Literal["all"]
LabelText = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00]*$")]


class AlgorithmEntry(Document):
    """One contender: an algorithm of the catalogue with its parameters; a list makes an axis of the grid."""

    algorithm: ResourceName
    name: ResourceName | None = Field(default=None, description="name in results; the algorithm's own by default")
    parameters: Grid = Field(default_factory=dict, max_length=32)

    @property
    def label(self) -> str:
        return self.name or self.algorithm


class Limits(Document):
    """Per sample, held by a watchdog. A limit set here is final: exceeding it is a result, never a retry."""

    sample_seconds: float = Field(default=600.0, gt=0, le=86_400)
    memory: ByteSize | None = Field(default=None, gt=0, description="e.g. 4GiB; the queue's limit by default")


class Protocol(Document):
    """How the trials are measured (docs/methodology)."""

    rounds: int = Field(default=5, ge=1, le=100, description="timed samples per trial, interleaved")
    warm_up: int = Field(default=1, ge=0, le=10, description="untimed fits before a timed one, see methodology")
    limits: Limits = Limits()
    colocate: bool = Field(default=False, description="measure all trials in one batch on one worker")
    reuse: Literal["auto", "never"] | None = Field(
        default=None, description="auto for manual runs, never for scheduled ones, unless set"
    )
    isolation: Literal["process", "pod"] = Field(
        default="process", description="pod: every trial in a pod of its own, not together with colocate"
    )
    seed: int = Field(default=0, ge=0, lt=2**32)


def _must_be_cron(value: str) -> str:
    fields = value.split()
    if len(fields) != CRON_FIELDS:
        raise ValueError("five fields are needed: minute, hour, day of month, month, day of week")
    days, weekdays = fields[2], fields[4]
    if days != "*" and weekdays != "*" and "*" in (days[0], weekdays[0]):
        # Debian's cron wants both to match there, Prefect one of them.
        raise ValueError("a step over * for one kind of day cannot be combined with the other kind of day")
    if re.search(r"\b(\w+)-\1\b", value):
        raise ValueError("a range needs two ends")  # Prefect takes 5-5 for *
    try:
        next(CronSim(value, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"it names no time: {error}") from None
    return value


def _must_be_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"there is no time zone {value!r}") from None
    return value


def _must_be_of_our_time(value: datetime) -> datetime:
    if value.year not in YEARS:
        raise ValueError(f"a year from {YEARS.start} to {YEARS.stop - 1} is expected")
    return value


class Schedule(Document):
    """When Prefect starts runs by itself: a cron expression or an interval."""

    cron: Annotated[str, StringConstraints(min_length=9, max_length=100), AfterValidator(_must_be_cron)] | None = Field(
        default=None, description="five fields, e.g. `0 5 * * 1-5`"
    )
    interval_seconds: int | None = Field(default=None, ge=60, le=31_536_000)
    anchor: Annotated[Moment, AfterValidator(_must_be_of_our_time)] | None = Field(
        default=None, description="what the interval is counted from; when the experiment was created by default"
    )
    timezone: Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_must_be_zone)] = Field(
        default="UTC", description="of the cron expression; an interval is the same everywhere"
    )
    catch_up: Literal["once", "skip"] = Field(
        default="skip", description="what becomes of times that passed during an outage"
    )
    paused: bool = False

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.cron is None) == (self.interval_seconds is None):
            raise ValueError("a schedule has either cron or intervalSeconds")
        if self.cron is not None and self.anchor is not None:
            raise ValueError("only an interval has an anchor")
        return self


class Notification(Document):
    """A webhook called when a run ends."""

    url: AnyHttpUrl
    on: Annotated[list[Literal["completed", "failed"]], Field(min_length=1)] = ["completed", "failed"]


class ExperimentSpec(Document):
    """dataset versions x sample sizes x algorithms x parameter grid, measured by one protocol."""

    api_version: Literal["corepoint/v1"] = API_VERSION
    kind: Literal["Experiment"] = "Experiment"
    name: ResourceName
    description: LabelText = ""
    labels: dict[ResourceName, LabelText] = Field(default_factory=dict, max_length=32)
    datasets: Annotated[list[ResourceName], Field(min_length=1, max_length=100)]
    sample_sizes: Annotated[list[SampleSize], Field(min_length=1, max_length=50)] = ["all"]
    parameters: Grid = Field(default_factory=dict, max_length=32, description="grid shared by all algorithms")
    algorithms: Annotated[list[AlgorithmEntry], Field(min_length=1, max_length=50)]
    reference: ResourceName | None = Field(
        default=None, description="entry the others are compared with; the first one by default"
    )
    protocol: Protocol = Protocol()
    schedule: Schedule | None = None
    notifications: Annotated[list[Notification], Field(max_length=10)] = []
    queue: QueueName | None = Field(default=None, description="sends every trial there, if it fits")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        labels = [entry.label for entry in self.algorithms]
        if len(set(labels)) != len(labels):
            raise ValueError("algorithm entries need distinct names; give one of them a `name`")
        if self.reference is not None and self.reference not in labels:
            raise ValueError(f"reference {self.reference!r} is not one of the algorithm entries")
        if len(set(self.datasets)) != len(self.datasets):
            raise ValueError("datasets are listed twice")
        return self

    @property
    def reference_label(self) -> str:
        return self.reference or self.algorithms[0].label

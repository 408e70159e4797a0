"""The kinds of things the API lists: their words, where they are, and their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from app.cli.exits import UsageError
from app.cli.output import Column
from app.contracts.algorithm import AlgorithmInfo
from app.contracts.quantities import duration, size
from app.contracts.states import TrialState
from app.contracts.views import BatchView, DatasetView, EventView, ExperimentView, RunView, TrialView


@dataclass(frozen=True)
class Kind:
    """`of_run`: listed under one run; `named`: found by name."""

    singular: str
    plural: str
    model: type[BaseModel]
    columns: Sequence[Column]
    name: str = "id"
    of_run: bool = False
    short: tuple[str, ...] = ()

    def reference(self, raw: dict[str, Any]) -> str:
        """What -o name prints, and every command accepts: `kind/name`."""
        return f"{self.singular}/{raw.get(self.name)}"


def age(moment: datetime) -> str:
    """Time since `moment`, in its largest unit."""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def short_id(run: object) -> str:
    """The first digits of a UUIDv7: its milliseconds, which tell runs apart."""
    return str(run)[:13]


def parameters(values: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def _source(dataset: DatasetView) -> str:
    source = dataset.spec.source
    if source.generate is not None:
        return f"generate {source.generate.kind}"
    return f"builtin {source.builtin}" if source.builtin else source.s3 or source.path or "upload"


def _trials_done(run: RunView) -> str:
    ended = sum(number for state, number in run.trials.items() if state not in {TrialState.PENDING, TrialState.RUNNING})
    return f"{ended}/{sum(run.trials.values())}"


def _progress(batch: BatchView) -> str | None:
    progress = batch.progress
    return None if progress is None else f"{progress.samples_done}/{progress.samples_total} samples"


def _capabilities(algorithm: AlgorithmInfo) -> str:
    flags = algorithm.capabilities.model_dump(include={"exact", "parallel", "distributed"})
    return ",".join(name for name, has in flags.items() if has)


def schedule(experiment: ExperimentView) -> str | None:
    """When it starts runs, in a few words."""
    found = experiment.spec.schedule
    if found is None:
        return None
    zone = "" if found.timezone == "UTC" or not found.cron else f" {found.timezone}"
    when = f"{found.cron}{zone}" if found.cron else f"every {duration(found.interval_seconds or 0)}"
    return f"{when} (paused)" if found.paused else when


def utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


EXPERIMENT = Kind(
    "experiment", "experiments", ExperimentView,
    [
        Column("NAME", lambda e: e.name),
        Column("ALGORITHMS", lambda e: ",".join(entry.label for entry in e.spec.algorithms)),
        Column("DATASETS", lambda e: ",".join(e.spec.datasets)),
        Column("SCHEDULE", schedule),
        Column("LATEST RUN", lambda e: e.latest_run_id and short_id(e.latest_run_id)),
        Column("AGE", lambda e: age(e.created_at)),
        Column("ID", lambda e: e.id, wide=True),
        Column("NEXT RUN", lambda e: utc(e.next_scheduled_for), wide=True),
        Column("DESCRIPTION", lambda e: e.spec.description, wide=True),
    ],
    name="name", short=("exp",),
)  # fmt: skip
RUN = Kind(
    "run", "runs", RunView,
    [
        Column("RUN", lambda r: short_id(r.id)),
        Column("EXPERIMENT", lambda r: r.experiment),
        Column("STATE", lambda r: r.state),
        Column("TRIALS", _trials_done, right=True),
        Column("TRIGGER", lambda r: f"{r.trigger} (urgent)" if r.urgent else r.trigger),
        Column("AGE", lambda r: age(r.created_at)),
        Column("TOOK", lambda r: r.finished_at and duration((r.finished_at - r.created_at).total_seconds())),
        Column("ID", lambda r: r.id, wide=True),
        Column("PINNED", lambda r: "yes" if r.pinned else None, wide=True),
        Column("REUSED", lambda r: r.reused_trials, wide=True, right=True),
        Column("FAILURE", lambda r: r.failure and f"{r.failure.code}: {r.failure.message}", wide=True),
    ],
)  # fmt: skip
TRIAL = Kind(
    "trial", "trials", TrialView,
    [
        Column("#", lambda t: t.position, right=True),
        Column("LABEL", lambda t: t.label + (" (reference)" if t.is_reference else "")),
        Column("DATASET", lambda t: t.dataset),
        Column("POINTS", lambda t: f"{t.sample_size:,}", right=True),
        Column("PARAMETERS", lambda t: parameters(t.parameters)),
        Column("QUEUE", lambda t: t.queue),
        Column("STATE", lambda t: t.state),
        Column("FIT", lambda t: None if t.fit_seconds_median is None else duration(t.fit_seconds_median), right=True),
        Column("MEMORY", lambda t: t.memory and size(t.memory.extra_bytes), right=True),
        Column("FAILURE", lambda t: t.failure and t.failure.code),
        Column("ID", lambda t: t.id, wide=True),
        Column("PREDICTED", lambda t: None if t.predicted_bytes is None else size(t.predicted_bytes), wide=True),
        Column("ROUTING", lambda t: t.routing, wide=True),
    ],
    of_run=True,
)  # fmt: skip
BATCH = Kind(
    "batch", "batches", BatchView,
    [
        Column("#", lambda b: b.position, right=True),
        Column("QUEUE", lambda b: b.queue),
        Column("STATE", lambda b: b.state),
        Column("ATTEMPT", lambda b: b.attempt, right=True),
        Column("TRIALS", lambda b: len(b.trial_ids), right=True),
        Column("PROGRESS", _progress),
        Column("ESTIMATED", lambda b: duration(b.estimated_seconds), right=True),
        Column("WORKER", lambda b: b.worker),
        Column("ID", lambda b: b.id, wide=True),
        Column("FLOW RUN", lambda b: b.flow_run_id, wide=True),
    ],
    of_run=True,
)  # fmt: skip
DATASET = Kind(
    "dataset", "datasets", DatasetView,
    [
        Column("NAME", lambda d: d.name),
        Column("STATE", lambda d: d.state),
        Column("POINTS", lambda d: d.profile and f"{d.profile.n:,}", right=True),
        Column("DIMENSIONS", lambda d: d.profile and d.profile.d, right=True),
        Column("SOURCE", _source),
        Column("AGE", lambda d: age(d.created_at)),
        Column("FAILURE", lambda d: d.failure and d.failure.message),
        Column("ID", lambda d: d.id, wide=True),
        Column("SHA256", lambda d: d.sha256, wide=True),
    ],
    name="name", short=("ds",),
)  # fmt: skip
ALGORITHM = Kind(
    "algorithm", "algorithms", AlgorithmInfo,
    [
        Column("NAME", lambda a: a.name),
        Column("VERSION", lambda a: a.version),
        Column("LIBRARY", lambda a: a.library),
        Column("CAPABILITIES", _capabilities),
        Column("TITLE", lambda a: a.title),
        Column("REQUIRES", lambda a: ",".join(a.capabilities.requires), wide=True),
        Column("DESCRIPTION", lambda a: a.description, wide=True),
    ],
    name="name", short=("algo",),
)  # fmt: skip
EVENT = Kind(
    "event", "events", EventView,
    [
        Column("AT", lambda e: utc(e.at)),
        Column("KIND", lambda e: e.kind),
        Column("MESSAGE", lambda e: e.message),
        Column("ID", lambda e: e.id, wide=True),
    ],
    of_run=True,
)  # fmt: skip

KINDS = (EXPERIMENT, RUN, TRIAL, BATCH, DATASET, ALGORITHM, EVENT)


def kind_named(word: str) -> Kind:
    """Singular, plural or short word, in any case. Raises UsageError."""
    lowered = word.lower()
    for kind in KINDS:
        if lowered in {kind.singular, kind.plural, *kind.short}:
            return kind
    raise UsageError(f"no kind {word!r}", f"Kinds are {', '.join(kind.plural for kind in KINDS)}.")


def split(word: str, name: str | None) -> tuple[Kind, str | None]:
    """`kind name` or, as -o name prints it, `kind/name`. Raises UsageError."""
    kind_word, slash, rest = word.partition("/")
    if slash and name is not None:
        raise UsageError(f"{word!r} names one thing and {name!r} another")
    return kind_named(kind_word), rest if slash else name


def required(word: str, name: str | None) -> tuple[Kind, str]:
    """`split`, for commands that need a name. Raises UsageError."""
    kind, given = split(word, name)
    if not given:
        raise UsageError(f"name the {kind.singular}", f"`corepoint get {kind.plural}` lists what there is.")
    return kind, given

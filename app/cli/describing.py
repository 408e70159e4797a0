"""`describe`: everything about one thing, in sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from app.cli.client import Client, parse
from app.cli.kinds import (
    ALGORITHM,
    BATCH,
    DATASET,
    EVENT,
    EXPERIMENT,
    RUN,
    TRIAL,
    Kind,
    age,
    parameters,
    required,
    schedule,
    utc,
)
from app.cli.output import Column, Format, Table, clean, data, dump, tables
from app.cli.reading import one
from app.cli.settings import connection
from app.contracts.algorithm import AlgorithmInfo
from app.contracts.failures import Failure
from app.contracts.quantities import duration, share, significant, size
from app.contracts.states import TrialState
from app.contracts.views import DatasetView, EventView, ExperimentView, RunView, TrialView

Facts = Iterable[tuple[str, object]]
_RUNS_SHOWN = 5
_EVENTS_SHOWN = 20
_LISTED = 500


def describe(word: str, name: str | None, form: Format, server: str | None) -> None:
    kind, name = required(word, name)
    with Client(connection(server)) as client:
        raw = one(client, kind, name)
        if form in {Format.JSON, Format.YAML}:
            dump(raw, form)
        elif form is Format.NAME:
            data(kind.reference(raw))
        else:
            _DESCRIBERS[kind.singular](client, raw)


def _facts(facts: Facts) -> None:
    shown = [(label, value) for label, value in facts if value not in {None, ""}]
    width = max(len(label) for label, _ in shown) + 2
    data("\n".join(f"{label + ':':<{width}} {clean(value)}" for label, value in shown))


def _failure(failure: Failure | None) -> Facts:
    if failure is not None:
        yield "Failure", f"{failure.code}: {failure.message}"
        yield "Hint", failure.hint


def _listed(client: Client, kind: Kind, path: str, limit: int, heading: str, **filters: Any) -> list[Any]:
    items, more = client.pages(path, limit, **filters)
    found = [parse(kind.model, item) for item in items]
    if found:
        tables([Table(kind.columns, found, heading=heading, notes=["…"] if more else [])], Format.TABLE)
    return found


def _experiment(client: Client, raw: Any) -> None:
    view = parse(ExperimentView, raw)
    spec, protocol = view.spec, view.spec.protocol
    _facts(
        [
            ("Name", view.name),
            ("Id", view.id),
            ("Description", spec.description),
            ("Age", age(view.created_at)),
            ("Labels", parameters(spec.labels)),
            ("Datasets", ", ".join(spec.datasets)),
            ("Sample sizes", ", ".join(map(str, spec.sample_sizes))),
            ("Parameters", parameters(spec.parameters)),
            ("Reference", spec.reference_label),
            ("Protocol", f"{protocol.rounds} rounds, {protocol.warm_up} warm-up, seed {protocol.seed}"),
            ("Limits", f"{duration(protocol.limits.sample_seconds)} per sample"),
            ("Schedule", schedule(view)),
            ("Next run", utc(view.next_scheduled_for)),
        ]
    )
    columns = [
        Column("LABEL", lambda e: e.label),
        Column("ALGORITHM", lambda e: e.algorithm),
        Column("PARAMETERS", lambda e: parameters(e.parameters)),
    ]
    tables([Table(columns, spec.algorithms, heading="Algorithms")], Format.TABLE)
    _listed(client, RUN, "/v1/runs", _RUNS_SHOWN, "Latest runs", experiment=view.name)


def _run(client: Client, raw: Any) -> None:
    view = parse(RunView, raw)
    took = view.finished_at and duration((view.finished_at - view.created_at).total_seconds())
    _facts(
        [
            ("Run", view.id),
            ("Experiment", view.experiment),
            ("State", f"{view.state}{' (cancel requested)' if view.cancel_requested else ''}"),
            ("Trigger", view.trigger),
            ("Age", age(view.created_at)),
            ("Took", took),
            ("Trials", ", ".join(f"{number} {state}" for state, number in view.trials.items() if number)),
            ("Reused", view.reused_trials or None),
            ("Urgent", "yes" if view.urgent else None),
            ("Pinned", "yes" if view.pinned else None),
            *(("Remark", remark) for remark in view.remarks),
            *_failure(view.failure),
        ]
    )
    path = f"/v1/runs/{view.id}"
    _listed(client, BATCH, f"{path}/batches", _LISTED, "Batches")
    trials = _listed(client, TRIAL, f"{path}/trials", _LISTED, "Trials")
    failed = [trial for trial in trials if trial.failure and trial.state in {TrialState.FAILED, TrialState.SKIPPED}]
    if failed:
        data("\nFailures")
        for trial in failed:
            data(clean(f"{trial.label} on {trial.dataset}: {trial.failure.code}: {trial.failure.message}"))
            data(clean(f"  hint: {trial.failure.hint}"))
    items, _ = client.pages(f"{path}/events", _EVENTS_SHOWN)
    if items:
        events = [parse(EventView, item) for item in items]
        tables([Table(EVENT.columns, events, heading="Events")], Format.TABLE)


def _trial(_: Client, raw: Any) -> None:
    view = parse(TrialView, raw)
    quality = view.quality
    silhouette = quality and (
        significant(quality.silhouette) if quality.silhouette is not None else quality.reasons.get("silhouette")
    )
    _facts(
        [
            ("Trial", view.id),
            ("Run", view.run_id),
            ("Label", view.label + (" (reference)" if view.is_reference else "")),
            ("Algorithm", view.algorithm),
            ("Parameters", parameters(view.parameters)),
            ("Dataset", f"{view.dataset} ({view.dataset_sha256[:12]})"),
            ("Points", f"{view.sample_size:,}"),
            ("State", view.state),
            ("Queue", view.queue),
            ("Routing", view.routing),
            ("Reused from", view.reused_from),
            ("Fit", None if view.fit_seconds_median is None else f"{duration(view.fit_seconds_median)} (median)"),
            ("Extra memory", view.memory and f"{size(view.memory.extra_bytes)} ({view.memory.method})"),
            ("Peak memory", view.memory and size(view.memory.peak_bytes)),
            ("Predicted peak", None if view.predicted_bytes is None else size(view.predicted_bytes)),
            ("Clusters", quality and str(quality.clusters)),
            ("Noise", quality and share(quality.noise_share)),
            ("Silhouette", silhouette),
            ("Manifest", view.manifest_key),
            *_failure(view.failure),
        ]
    )


def _dataset(_: Client, raw: Any) -> None:
    view = parse(DatasetView, raw)
    profile = view.profile
    facts: list[tuple[str, object]] = [
        ("Name", view.name),
        ("Id", view.id),
        ("Description", view.spec.description),
        ("State", view.state),
        ("Sha256", view.sha256),
        ("Age", age(view.created_at)),
    ]
    if profile is not None:
        facts += [
            ("Points", f"{profile.n:,}"),
            ("Dimensions", profile.d),
            ("Rows read", f"{profile.rows_read:,}"),
            ("Rows dropped", f"{profile.rows_dropped:,}"),
            ("Rows with missing values", f"{profile.rows_missing:,}"),
            ("Rows with an infinity", f"{profile.rows_infinite:,}"),
            ("Rows outside the box", f"{profile.rows_outside_box:,}"),
            ("Duplicates", f"{profile.duplicates:,}"),
            ("True clusters", "known" if profile.has_truth else "not known"),
            *(("Warning", warning) for warning in profile.warnings),
        ]
    _facts([*facts, *_failure(view.failure)])
    if profile is None:
        return
    columns = [
        Column("COLUMN", lambda c: c.name),
        *(_number(title) for title in ("minimum", "mean", "maximum", "standard_deviation")),
        Column("CONSTANT", lambda c: "yes" if c.constant else None),
    ]
    tables([Table(columns, profile.columns, heading="Columns")], Format.TABLE)


def _number(attribute: str) -> Column:
    title = attribute.replace("_", " ").upper()
    return Column(title, lambda item: significant(getattr(item, attribute), 6), right=True)


def _algorithm(_: Client, raw: Any) -> None:
    view = parse(AlgorithmInfo, raw)
    flags = {name: value for name, value in view.capabilities.model_dump().items() if value not in (None, [], False)}
    _facts(
        [
            ("Name", view.name),
            ("Title", view.title),
            ("Version", view.version),
            ("Library", view.library),
            ("Description", view.description),
            ("Capabilities", ", ".join(n if v is True else f"{n}={v}" for n, v in flags.items())),
            ("Defines the task", ", ".join(view.problem_parameters)),
        ]
    )
    required_names = view.parameters_schema.get("required", [])
    rows = [
        (name, schema, name in required_names) for name, schema in view.parameters_schema.get("properties", {}).items()
    ]
    columns = [
        Column("PARAMETER", lambda row: row[0]),
        Column("TYPE", lambda row: _type(row[1])),
        Column("DEFAULT", lambda row: "required" if row[2] else row[1].get("default")),
        Column("MEANING", lambda row: row[1].get("description")),
    ]
    tables([Table(columns, rows, heading="Parameters", empty="It has no parameters.")], Format.TABLE)


def _type(schema: dict[str, Any]) -> str:
    """A parameter's JSON Schema in a few words, e.g. `number > 0`, `auto|kd_tree`."""
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return "|".join(map(str, schema.get("enum", [schema.get("const")])))
    bounds = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    words = [str(schema.get("type", "any"))]
    words += [f"{sign} {significant(float(schema[key]), 6)}" for key, sign in bounds.items() if key in schema]
    return " ".join(words)


_DESCRIBERS: dict[str, Callable[[Client, Any], None]] = {
    EXPERIMENT.singular: _experiment,
    RUN.singular: _run,
    TRIAL.singular: _trial,
    DATASET.singular: _dataset,
    ALGORITHM.singular: _algorithm,
}

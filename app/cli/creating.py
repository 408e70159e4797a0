"""Commands that change something: create, run, cancel, pin, delete."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.cli.client import Client, parse, segment
from app.cli.documents import Loaded, load
from app.cli.exits import CommandError, Exit, UsageError
from app.cli.kinds import DATASET, EXPERIMENT, RUN, parameters, required
from app.cli.output import Column, Format, Table, data, dump, note, tables
from app.cli.settings import connection
from app.cli.uploading import ensure_dataset
from app.cli.waiting import Clock, for_dataset, for_runs, leave
from app.contracts.dataset import DatasetSpec
from app.contracts.experiment import ExperimentSpec
from app.contracts.problems import ProblemCode
from app.contracts.quantities import duration, size
from app.contracts.views import ExperimentView, PlanView, RunView


@dataclass(frozen=True)
class Options:
    wait: bool
    start: bool
    dry_run: bool
    server_path: bool
    timeout: str | None
    urgent: bool = False


def create(file: str, options: Options, form: Format, server: str | None) -> None:
    if options.wait and (options.dry_run or not options.start):
        raise UsageError("--wait has nothing to wait for with --dry-run or --no-run")
    if options.urgent and not options.start:
        raise UsageError("--urgent starts a run, and --no-run does not")
    clock = Clock.of(options.timeout)
    loaded, folder = read(file)
    datasets = [one.spec for one in loaded if isinstance(one.spec, DatasetSpec)]
    experiments = [one for one in loaded if isinstance(one.spec, ExperimentSpec)]
    with Client(connection(server)) as client:
        if options.dry_run:
            _plan(client, datasets, experiments, form)
            return
        done: list[Any] = []
        for spec in datasets:
            raw, what = ensure_dataset(client, spec, folder, options.server_path)
            done.append(said(f"dataset/{spec.name}", what, raw, form))
        runs: list[str] = []
        for one in experiments:
            raw = create_experiment(client, one, options.start, options.urgent)
            done.append(said(f"experiment/{one.spec.name}", "created", raw, form))
            if run_id := parse(ExperimentView, raw).latest_run_id:
                runs.append(str(run_id))
                if form is not Format.JSON and form is not Format.YAML:
                    data(f"run/{run_id}" if form is Format.NAME else f"run/{run_id} started")
        if form in {Format.JSON, Format.YAML}:
            dump({"items": done}, form)
        if not options.wait:
            return
        quiet = Format.TABLE if form in {Format.JSON, Format.YAML} else form
        if runs:
            leave(for_runs(client, runs, clock, quiet))
        else:
            leave(max((for_dataset(client, spec.name, clock, quiet) for spec in datasets), default=Exit.OK))


def start(  # noqa: PLR0917 - the command's options
    experiment: str, urgent: bool, wait: bool, timeout: str | None, form: Format, server: str | None
) -> None:
    clock = Clock.of(timeout)
    name = experiment.removeprefix("experiment/")
    with Client(connection(server)) as client:
        raw = client.post(f"/v1/experiments/{segment(name)}/runs", {"urgent": True} if urgent else None)
        run = parse(RunView, raw)
        if not wait:
            answer(raw, f"run/{run.id}", "started", form)
            return
        note(f"run/{run.id} started")
        leave(for_runs(client, [str(run.id)], clock, form))


def cancel(reference: str, form: Format, server: str | None) -> None:
    with Client(connection(server)) as client:
        run_id = client.run_id(reference)
        raw = client.post(f"/v1/runs/{run_id}/cancel")
    answer(raw, f"run/{run_id}", "cancel requested", form)


def pin(reference: str, pinned: bool, form: Format, server: str | None) -> None:
    with Client(connection(server)) as client:
        run_id = client.run_id(reference)
        raw = client.post(f"/v1/runs/{run_id}/{'pin' if pinned else 'unpin'}")
    answer(raw, f"run/{run_id}", "pinned" if pinned else "unpinned", form)


def delete(word: str, name: str | None, server: str | None) -> None:
    kind, name = required(word, name)
    if kind not in (EXPERIMENT, DATASET):
        hint = "`corepoint cancel RUN` stops a run." if kind is RUN else "Experiments and datasets can be deleted."
        raise UsageError(f"a {kind.singular} cannot be deleted", hint)
    with Client(connection(server)) as client:
        client.delete(f"/v1/{kind.plural}/{segment(name)}")
    data(f"{kind.singular}/{name} deleted")


def read(file: str) -> tuple[list[Loaded], Path]:
    """The documents and the folder their paths are relative to."""
    try:
        if file == "-":
            return load(sys.stdin.read(), "stdin"), Path.cwd()
        return load(Path(file).read_text(encoding="utf-8-sig"), file), Path(file).resolve().parent
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not UTF-8 text") from error
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error


def create_experiment(client: Client, one: Loaded, start: bool, urgent: bool = False) -> Any:
    body = one.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    params = {"start": None if start else "false", "urgent": "true" if urgent else None}
    try:
        return client.post("/v1/experiments", body, **params)
    except CommandError as error:
        if error.problem == ProblemCode.NAME_TAKEN:
            error.hint += f" `corepoint run {one.spec.name}` starts another run of the one that exists."
        raise


def _plan(client: Client, datasets: Sequence[DatasetSpec], experiments: Sequence[Loaded], form: Format) -> None:
    for dataset in datasets:
        note(f"dataset/{dataset.name} is valid (dry run)")
    plans: list[Any] = []
    for one in experiments:
        body = one.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
        try:
            plans.append(client.post("/v1/experiments", body, dry_run="true"))
        except CommandError as error:
            if error.problem != ProblemCode.UNKNOWN_DATASET or not datasets:
                raise
            note(f"experiment/{one.spec.name} is valid; its plan can be made once its datasets exist (dry run)")
            continue
        if form not in {Format.JSON, Format.YAML}:
            show_plan(one.spec.name, parse(PlanView, plans[-1]), form)
    if form in {Format.JSON, Format.YAML} and plans:
        dump(plans[0] if len(plans) == 1 else {"items": plans}, form)


_PLAN_COLUMNS = (
    Column("LABEL", lambda t: t.label),
    Column("DATASET", lambda t: t.dataset),
    Column("POINTS", lambda t: f"{t.sample_size:,}", right=True),
    Column("PARAMETERS", lambda t: parameters(t.parameters)),
    Column("QUEUE", lambda t: t.queue),
    Column("MEMORY", lambda t: None if t.predicted_bytes is None else f"~{size(t.predicted_bytes)}", right=True),
    Column("FIT", lambda t: None if t.predicted_seconds is None else f"~{duration(t.predicted_seconds)}", right=True),
    Column("WHY", lambda t: f"skipped: {t.skipped.message}" if t.skipped else t.routing),
)


def show_plan(name: str, plan: PlanView, form: Format) -> None:
    queues = ", ".join(f"{number} on {queue}" for queue, number in plan.queues.items())
    heading = f"experiment/{name}: {len(plan.trials)} trials in {plan.batches} batches" + (
        f" ({queues})" if queues else ""
    )
    if form is Format.NAME:
        data(f"experiment/{name}")
        return
    notes = [f"Not estimated yet, being prepared: {', '.join(plan.waiting_for_datasets)}"]
    remarks = [*(notes if plan.waiting_for_datasets else []), *plan.remarks]
    tables([Table(_PLAN_COLUMNS, plan.trials, empty=heading, heading=heading, notes=remarks)], form)


def said(reference: str, what: str, raw: Any, form: Format) -> Any:
    if form not in {Format.JSON, Format.YAML}:
        data(reference if form is Format.NAME else f"{reference} {what}")
    return raw


def answer(raw: Any, reference: str, what: str, form: Format) -> None:
    if form in {Format.JSON, Format.YAML}:
        dump(raw, form)
    else:
        said(reference, what, raw, form)

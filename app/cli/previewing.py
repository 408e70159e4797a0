"""`preview`: a run of few rows, of an experiment that is there or of one that a file describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.cli.client import Client, parse, segment
from app.cli.creating import create_experiment, read, said, show_plan
from app.cli.documents import Loaded
from app.cli.exits import CommandError, UsageError
from app.cli.output import Format, dump, note
from app.cli.settings import connection
from app.cli.uploading import ensure_dataset
from app.cli.waiting import Clock, for_runs, leave
from app.contracts.dataset import DatasetSpec
from app.contracts.experiment import ExperimentSpec
from app.contracts.problems import ProblemCode
from app.contracts.run_request import PREVIEW_ROWS
from app.contracts.views import ExperimentView, PlanView, RunView


@dataclass(frozen=True)
class Options:
    rows: int | None
    dry_run: bool
    wait: bool
    timeout: str | None

    @property
    def body(self) -> dict[str, Any]:
        return {"preview": {"rows": self.rows or PREVIEW_ROWS}}


def preview(experiment: str | None, file: str | None, options: Options, form: Format, server: str | None) -> None:
    if (experiment is None) == (file is None):
        raise UsageError("name an experiment, or a file with -f", "`corepoint get experiments` lists what there is.")
    if options.dry_run and options.wait:
        raise UsageError("--wait has nothing to wait for with --dry-run")
    if options.dry_run and file is not None:
        hint = "`corepoint create -f FILE --dry-run` plans without writing."
        raise UsageError("--dry-run writes nothing, and -f creates what the file describes", hint)
    clock = Clock.of(options.timeout)
    with Client(connection(server)) as client:
        named = [(experiment or "").removeprefix("experiment/")]
        names = _created(client, file) if file is not None else named
        if options.dry_run:
            _plans(client, names, options, form)
            return
        runs = [client.post(f"/v1/experiments/{segment(name)}/runs", options.body) for name in names]
        _started(runs, options, form)
        if options.wait:
            quiet = Format.TABLE if form in {Format.JSON, Format.YAML} else form
            code = for_runs(client, [str(parse(RunView, raw).id) for raw in runs], clock, quiet)
            note("A preview is not a measurement.")
            leave(code)


def _created(client: Client, file: str) -> list[str]:
    """Names of the file's experiments, which are there afterwards, without a run of their own."""
    loaded, folder = read(file)
    experiments = [one for one in loaded if isinstance(one.spec, ExperimentSpec)]
    if not experiments:
        raise UsageError(f"{file} describes no experiment to preview")
    _refuse_schedules(experiments)
    for one in loaded:
        if isinstance(one.spec, DatasetSpec):
            ensure_dataset(client, one.spec, folder, server_path=False)
    for one in experiments:
        _ensure_experiment(client, one)
    return [one.spec.name for one in experiments]


def _refuse_schedules(experiments: Sequence[Loaded]) -> None:
    for one in experiments:
        schedule = one.spec.schedule if isinstance(one.spec, ExperimentSpec) else None
        if schedule is not None and not schedule.paused:
            hint = "Write `paused: true` into its schedule, or create it and preview it by its name."
            raise UsageError(f"a preview of {one.place} would also start the schedule of {one.spec.name!r}", hint)


def _ensure_experiment(client: Client, one: Loaded) -> None:
    try:
        create_experiment(client, one, start=False)
    except CommandError as error:
        if error.problem != ProblemCode.NAME_TAKEN:
            raise
        known = parse(ExperimentView, client.get(f"/v1/experiments/{segment(one.spec.name)}"))
        if known.spec != one.spec:
            raise CommandError(
                f"experiment {one.spec.name!r} exists with another specification",
                f"Choose another name, or `corepoint preview {one.spec.name}` for the one that exists.",
            ) from error


def _plans(client: Client, names: Sequence[str], options: Options, form: Format) -> None:
    raws = [client.post(f"/v1/experiments/{segment(name)}/runs", options.body, dry_run="true") for name in names]
    if form in {Format.JSON, Format.YAML}:
        dump(raws[0] if len(raws) == 1 else {"items": raws}, form)
        return
    for name, raw in zip(names, raws, strict=True):
        show_plan(name, parse(PlanView, raw), form)


def _started(runs: Sequence[Any], options: Options, form: Format) -> None:
    if options.wait:
        for raw in runs:
            note(f"run/{parse(RunView, raw).id} started as a preview")
        return
    for raw in runs:
        said(f"run/{parse(RunView, raw).id}", "started as a preview: not a measurement", raw, form)
    if form in {Format.JSON, Format.YAML}:
        dump(runs[0] if len(runs) == 1 else {"items": list(runs)}, form)

"""`export`: a run's comparison as JSON, as tidy CSV (one row per trial), or as the HTML report."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.cli.client import Client, parse
from app.cli.exits import CommandError
from app.cli.kinds import parameters
from app.cli.output import data, note
from app.cli.settings import connection
from app.contracts.comparison import Comparison, Entry, Group

_FIGURES: dict[str, Callable[[Entry], Any]] = {
    "label": lambda e: e.label,
    "algorithm": lambda e: e.algorithm,
    "algorithm_version": lambda e: e.algorithm_version,
    "parameters": lambda e: parameters(e.parameters),
    "state": lambda e: e.state.value,
    "is_reference": lambda e: e.is_reference,
    "reused": lambda e: e.reused,
    "verdict": lambda e: e.verdict and e.verdict.value,
    "fit_seconds_median": lambda e: e.timing and e.timing.median,
    "fit_seconds_minimum": lambda e: e.timing and e.timing.minimum,
    "fit_seconds_spread": lambda e: e.timing and e.timing.spread,
    "samples": lambda e: e.timing and len(e.timing.samples),
    "ratio": lambda e: e.ratio and e.ratio.estimate,
    "ratio_low": lambda e: e.ratio and e.ratio.low,
    "ratio_high": lambda e: e.ratio and e.ratio.high,
    "ratio_paired": lambda e: e.ratio and e.ratio.paired,
    "cpu_seconds": lambda e: e.cpu_seconds,
    "extra_bytes": lambda e: e.memory and e.memory.extra_bytes,
    "peak_bytes": lambda e: e.memory and e.memory.peak_bytes,
    "memory_method": lambda e: e.memory and e.memory.method,
    "predicted_bytes": lambda e: e.predicted_bytes,
    "points_per_second": lambda e: e.points_per_second,
    "clusters": lambda e: e.quality and e.quality.clusters,
    "noise_share": lambda e: e.quality and e.quality.noise_share,
    "silhouette": lambda e: e.quality and e.quality.silhouette,
    "failure_code": lambda e: e.failure and e.failure.code.value,
    "failure_message": lambda e: e.failure and e.failure.message,
    "on_pareto_front": lambda e: e.on_pareto_front,
    "trial_id": lambda e: str(e.trial_id),
}
_TASK: dict[str, Callable[[Group], Any]] = {
    "dataset": lambda g: g.dataset,
    "dataset_sha256": lambda g: g.dataset_sha256,
    "sample_size": lambda g: g.sample_size,
    "d": lambda g: g.d,
    "problem": lambda g: parameters(g.problem),
}


def export(reference: str, form: str, target: Path | None, server: str | None) -> None:
    with Client(connection(server)) as client:
        run = f"/v1/runs/{client.run_id(reference)}"
        if form == "html":
            text = client.text(f"{run}/report")
        else:
            raw = client.get(f"{run}/comparison")
            text = json.dumps(raw, indent=2, ensure_ascii=False) + "\n" if form == "json" else as_csv(raw)
    if target is None or str(target) == "-":
        data(text.removesuffix("\n"))
        return
    _write_whole(target, text)
    note(f"wrote {target} ({len(text.encode()):,} bytes)")


def as_csv(raw: Any) -> str:
    """A row per trial with its task; empty where there is no figure."""
    comparison = parse(Comparison, raw)
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["experiment", "run_id", "trigger", *_TASK, *_FIGURES])
    for group in comparison.groups:
        task = [read(group) for read in _TASK.values()]
        for entry in group.entries:
            figures = [read(entry) for read in _FIGURES.values()]
            writer.writerow(
                [
                    _cell(v)
                    for v in (comparison.experiment, comparison.run_id, comparison.trigger.value, *task, *figures)
                ]
            )
    return sink.getvalue()


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, str) and value[:1] in set("=+-@\t\r"):
        return f"'{value}"
    return "" if value is None else str(value).lower() if isinstance(value, bool) else value


def _write_whole(target: Path, text: str) -> None:
    """Into a neighbouring file first, so that a failure leaves no half and an old file stays."""
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CommandError(f"cannot write {target}: {error.strerror}") from error

"""Writes docs/reference from the code, so that no page can disagree with it; `--check` names the pages that do.

Nothing is started, no environment variable is read, and no page names a version or a path of the machine it ran on.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import chart_values
from reference_api import api_page
from reference_cli import cli_page
from reference_markdown import code, document, fields, sentence, table
from reference_metrics import metrics_page
from reference_settings import settings_page
from reference_values import values_page

from app.contracts.dataset import DatasetSpec
from app.contracts.experiment import MAX_AXIS, MAX_TRIALS, ExperimentSpec
from app.contracts.failures import HINTS, FailureCode
from app.contracts.problems import CATALOGUE, TYPE_BASE
from app.contracts.states import QueueName
from app.domain import retry
from workers.algorithms.registry import catalogue

_OF_AN_ATTEMPT = (FailureCode.LOST, FailureCode.EVICTED, FailureCode.CRASH)
ROOT = Path(__file__).resolve().parent.parent
_HEAD = "<!-- Written by hack/references.py from the code; edit the code, then run it again. -->\n\n"


def problems_page() -> str:
    rows = sorted(CATALOGUE.items(), key=lambda item: (item[1].status, item[0].value))
    return (
        "# Problems\n\nEvery error of the API is `application/problem+json` (RFC 9457): `code` is one of these, "
        f"`type` is `{TYPE_BASE}` and the code, `detail` says what happened, `hint` what to do, "
        "`errors` names each place in the "
        "request, and `request_id` finds the request in the logs.\n\n"
        + table(
            ("status", "code", "title", "hint"),
            (
                (entry.status, f'<a id="{name.value}"></a>`{name.value}`', entry.title, entry.hint)
                for name, entry in rows
            ),
        )
    )


def failures_page() -> str:
    lost = []
    while (again := retry.after_lost(len(lost) + 1, QueueName.DEFAULT)) is not None:
        lost.append(f"{again.delay_seconds:g}")
    return (
        "# Failures\n\nWhy a trial, a batch or a dataset has no result. A failure is a result row: it is shown, "
        "counted, and never reused.\n\n"
        + table(
            ("code", "what to do", "tried again?"),
            ((f'<a id="{one.value}"></a>`{one.value}`', HINTS[one], _tried_again(one)) for one in FailureCode),
        )
        + f"A batch whose worker is gone (`lost`, `evicted`, `crash`, `oom_killed`) is started again, after "
        f"{', '.join(lost[:-1])} and {lost[-1]} seconds: {retry.MAX_ATTEMPTS} starts in all. Those do not count that "
        "ended because the worker drained, or that were laid to one trial, which then moves on. The rounds that are "
        "saved are not measured again. Only then do its trials fail. [What each reason means](../how-to/failures.md).\n"
    )


def _tried_again(failure: FailureCode) -> str:
    larger = {queue: again.queue for queue in QueueName if (again := retry.after_failure(failure, queue, False))}
    if larger:
        ways = ", ".join(f"from `{queue}` to `{target}`" for queue, target in larger.items())
        users = retry.after_failure(failure, next(iter(larger)), True)
        return f"once, on a larger queue ({ways})" + ("" if users else "; never where the experiment set the limit")
    return "the batch has been, see below" if failure in _OF_AN_ATTEMPT else "no"


def experiment_page() -> str:
    return (
        "# Documents\n\nWhat people write, in YAML or JSON; unknown keys are refused. "
        "[docs/examples](../examples) has whole ones. "
        f"A run has at most {MAX_TRIALS:,} trials, an axis {MAX_AXIS:,} values.\n\n"
        + document(ExperimentSpec)
        + document(DatasetSpec)
    )


def algorithms_page() -> str:
    page = (
        "# Algorithms\n\nWhat comes with corepoint; other distributions add theirs "
        "([how](../how-to/add-an-algorithm.md)). `corepoint get algorithms` lists what a server has, with versions.\n\n"
    )
    for name, adapter in catalogue().items():
        if not type(adapter).__module__.startswith("workers."):
            continue
        info = adapter.info
        can = info.capabilities
        flags = [flag for flag, has in can.model_dump().items() if has is True]
        facts = [
            f"Capabilities: {', '.join(flags) or 'none'}.",
            f"Needs {', '.join(can.requires)}." if can.requires else "",
            f"At most {can.max_dimensions} dimensions." if can.max_dimensions else "",
            f"The task is defined by {', '.join(map(code, info.problem_parameters))}.",
        ]
        page += f"## {name}\n\n**{info.title}.** {sentence(info.description)}\n\n{' '.join(filter(None, facts))}\n\n"
        page += fields(info.parameters_schema, info.parameters_schema.get("$defs", {}))
    said = type(info.capabilities).model_json_schema()["properties"]
    page += "## Capabilities\n\n" + table(
        ("capability", "meaning"),
        ((code(name), one["description"]) for name, one in said.items() if "description" in one),
    )
    return page


PAGES = {
    "algorithms.md": algorithms_page,
    "api.md": api_page,
    "cli.md": cli_page,
    "experiment.md": experiment_page,
    "failures.md": failures_page,
    "metrics.md": metrics_page,
    "problems.md": problems_page,
    "settings.md": settings_page,
    "values.md": values_page,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the pages that differ")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "reference", help="where the pages are")
    chosen = parser.parse_args()
    texts = {name: _HEAD + re.sub(r"\n{3,}", "\n\n", page()).rstrip() + "\n" for name, page in PAGES.items()}
    if not chosen.check:
        chosen.folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (chosen.folder / name).write_text(text, encoding="utf-8")
        chart_values.SCHEMA.write_text(chart_values.written_schema(), encoding="utf-8")
        return 0
    there = {path.name: path.read_text(encoding="utf-8") for path in chosen.folder.glob("*.md")}
    differing = sorted(name for name in texts.keys() | there.keys() if texts.get(name) != there.get(name))
    if chart_values.SCHEMA.read_text(encoding="utf-8") != chart_values.written_schema():
        differing.append(chart_values.SCHEMA.name)
    for name in differing:
        print(f"{name} differs from the code; run python hack/references.py")
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())

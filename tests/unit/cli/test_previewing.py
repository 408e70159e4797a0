"""preview: of an experiment that is there, or of a file; and never taken for a measurement."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from app.contracts.problems import ProblemCode
from app.contracts.states import QueueName, RunState, RunTrigger
from app.contracts.views import PlannedTrial, PlanView
from tests.unit.cli.conftest import Run
from tests.unit.cli.stub import Stub, problem
from tests.unit.cli.views import EXPERIMENT_DOCUMENT, RUN, experiment_view, run_view

RUNS = "POST /v1/experiments/cities/runs"
PREVIEW = run_view(trigger=RunTrigger.PREVIEW)


def written(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document)


def test_a_preview_of_an_experiment_is_asked_for_with_its_rows(corepoint: Run, stub: Stub) -> None:
    stub.on(RUNS, PREVIEW)
    done = corepoint("preview", "experiment/cities", "--rows", "50")
    assert stub.asked[0].json == {"preview": {"rows": 50}}
    assert done.stdout == f"run/{RUN} started as a preview: not a measurement\n"
    corepoint("preview", "cities")
    assert stub.asked[1].json == {"preview": {"rows": 1000}}


def test_waiting_for_it_ends_with_a_word_of_warning(corepoint: Run, stub: Stub) -> None:
    stub.on(RUNS, PREVIEW)
    stub.on(f"GET /v1/runs/{RUN}", run_view(RunState.SUCCEEDED, trigger=RunTrigger.PREVIEW))
    done = corepoint("preview", "cities", "--wait")
    assert done.stdout == f"run/{RUN} succeeded\n"
    assert "not a measurement" in done.stderr


def test_a_file_is_created_without_a_run_of_its_own(corepoint: Run, stub: Stub) -> None:
    stub.on("POST /v1/experiments", experiment_view())
    stub.on(RUNS, PREVIEW)
    corepoint("preview", "-f", "-", text=written(EXPERIMENT_DOCUMENT))
    create, start = stub.asked
    assert (create.path, create.query) == ("/v1/experiments", {"start": "false"})
    assert start.json == {"preview": {"rows": 1000}}


def test_a_file_whose_experiment_is_there_already_is_previewed_if_it_is_the_same(corepoint: Run, stub: Stub) -> None:
    stub.on("POST /v1/experiments", problem(ProblemCode.NAME_TAKEN, "taken"))
    stub.on("GET /v1/experiments/cities", experiment_view())
    stub.on(RUNS, PREVIEW)
    corepoint("preview", "-f", "-", text=written(EXPERIMENT_DOCUMENT))
    other = written({**EXPERIMENT_DOCUMENT, "description": "another"})
    refused = corepoint("preview", "-f", "-", text=other)
    assert refused.exit_code == 1
    assert "another specification" in refused.stderr


def test_a_preview_never_starts_a_schedule(corepoint: Run, stub: Stub) -> None:
    scheduled = {**EXPERIMENT_DOCUMENT, "schedule": {"cron": "0 3 * * *"}}
    refused = corepoint("preview", "-f", "-", text=written(scheduled))
    assert refused.exit_code == 2
    assert "schedule of 'cities'" in refused.stderr
    assert stub.asked == []


def test_the_plan_says_what_a_preview_is(corepoint: Run, stub: Stub) -> None:
    trial = PlannedTrial(
        label="tree", parameters={}, dataset="cities", sample_size=100, queue=QueueName.PRIORITY,
        routing="a preview runs on priority", predicted_bytes=1, predicted_seconds=1.0,
    )  # fmt: skip
    said = "A preview of at most 100 rows in one round: not a measurement."
    stub.on(RUNS, PlanView(trials=[trial], batches=1, queues={QueueName.PRIORITY: 1}, remarks=[said]))
    done = corepoint("preview", "cities", "--rows", "100", "--dry-run")
    assert stub.asked[0].query == {"dry_run": "true"}
    assert said in done.stdout


@pytest.mark.parametrize(
    "words", [(), ("cities", "-f", "-"), ("-f", "-", "--dry-run"), ("cities", "--dry-run", "--wait")]
)
def test_what_makes_no_sense_together_is_wrong_usage(corepoint: Run, stub: Stub, words: tuple[str, ...]) -> None:
    assert corepoint("preview", *words, text=written(EXPERIMENT_DOCUMENT)).exit_code == 2
    assert stub.asked == []

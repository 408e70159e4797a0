"""get, describe, logs: tables for people, JSON for programs, names for pipes; errors with their exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from app.contracts.failures import Failure, FailureCode
from app.contracts.problems import ProblemCode
from app.contracts.states import RunState, TrialState
from tests.unit.cli.conftest import Run
from tests.unit.cli.stub import Answer, Stub, page, problem
from tests.unit.cli.views import OTHER_RUN, RUN, dataset_view, experiment_view, run_view, trial_view


def test_a_table_has_aligned_columns_and_short_run_ids(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/runs", page(run_view(), run_view(RunState.RUNNING, OTHER_RUN)))
    lines = corepoint("get", "runs").stdout.splitlines()
    assert lines[0].split() == ["RUN", "EXPERIMENT", "STATE", "TRIALS", "TRIGGER", "AGE", "TOOK"]
    assert lines[1].split()[:4] == ["019ab3c4-5d6e", "cities", "succeeded", "3/3"]
    assert lines[1].index("cities") == lines[2].index("cities")
    assert "\x1b" not in "".join(lines)


def test_wide_adds_whole_ids(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/runs", page(run_view()))
    assert str(RUN) in corepoint("get", "runs", "-o", "wide").stdout


def test_json_and_yaml_are_what_the_server_said(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/experiments/cities", experiment_view())
    said = experiment_view().model_dump(mode="json", by_alias=True)
    assert json.loads(corepoint("get", "exp", "cities", "-o", "json").stdout) == said
    assert yaml.safe_load(corepoint("get", "experiment/cities", "-o", "yaml").stdout) == said


def test_names_can_be_given_back_to_a_command(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/runs", page(run_view()))
    stub.on(f"GET /v1/runs/{RUN}", run_view())
    name = corepoint("get", "runs", "-o", "name").stdout.strip()
    assert name == f"run/{RUN}"
    assert corepoint("get", name).exit_code == 0


def test_all_pages_are_read_up_to_the_limit(corepoint: Run, stub: Stub) -> None:
    stub.on(
        "GET /v1/runs", page(run_view(), next_page_token="t1"), page(run_view(run_id=OTHER_RUN), next_page_token="t2")
    )
    done = corepoint("get", "runs", "--limit", "2", "-o", "name")
    assert len(done.stdout.splitlines()) == 2
    assert [asked.query.get("page_token") for asked in stub.asked] == [None, "t1"]
    assert "more than 2" in done.stderr


def test_an_empty_list_tells_the_next_step_and_prints_no_data(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/experiments", page())
    done = corepoint("get", "experiments")
    assert (done.stdout, done.exit_code) == ("", 0)
    assert "corepoint create -f FILE" in done.stderr


def test_filters_reach_the_server(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/runs", page())
    corepoint("get", "runs", "--experiment", "cities", "--state", "failed")
    assert stub.asked[0].query == {"experiment": "cities", "state": "failed", "limit": "100"}


def test_keys_of_a_newer_server_are_passed_over(corepoint: Run, stub: Stub) -> None:
    raw = {**run_view().model_dump(mode="json"), "invented_later": 1}
    stub.on("GET /v1/runs", page(raw))
    assert corepoint("get", "runs").exit_code == 0


def test_text_of_the_server_cannot_drive_the_terminal(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/runs", page(run_view(failure=Failure.of(FailureCode.CRASH, "a\x1b]0;owned\x07b\u202ec"))))
    text = corepoint("get", "runs", "-o", "wide").stdout
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text


def test_a_run_is_found_by_the_first_digits_of_its_id(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/runs", page(run_view(), run_view(run_id=OTHER_RUN)))
    stub.on(f"GET /v1/runs/{RUN}/trials", page(trial_view()))
    assert "sklearn-dbscan (reference)" in corepoint("get", "trials", "019ab3c4").stdout


def test_an_ambiguous_prefix_names_the_candidates(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/runs", page(run_view(), run_view(run_id=OTHER_RUN)))
    done = corepoint("get", "trials", "019ab3")
    assert done.exit_code == 1
    assert str(RUN) in done.stderr
    assert str(OTHER_RUN) in done.stderr


def test_an_experiments_name_means_its_latest_run(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/experiments/cities", experiment_view())
    stub.on(f"GET /v1/runs/{RUN}/logs", {"lines": ["one", "two"], "available": True})
    assert corepoint("logs", "cities").stdout == "one\ntwo\n"


def test_logs_that_cannot_be_had_are_an_error_and_no_data(corepoint: Run, stub: Stub) -> None:
    stub.on(f"GET /v1/runs/{RUN}/logs", {"lines": [], "available": False})
    done = corepoint("logs", str(RUN))
    assert (done.exit_code, done.stdout) == (1, "")


def test_describe_run_tells_why_trials_failed(corepoint: Run, stub: Stub) -> None:
    failure = Failure.of(FailureCode.MEMOUT, "used 6.2 GiB of 6 GiB")
    stub.on(f"GET /v1/runs/{RUN}", run_view(RunState.PARTIAL))
    stub.on(f"GET /v1/runs/{RUN}/batches", page())
    stub.on(f"GET /v1/runs/{RUN}/events", page())
    stub.on(f"GET /v1/runs/{RUN}/trials", page(trial_view(state=TrialState.FAILED, failure=failure)))
    text = corepoint("describe", "run", str(RUN)).stdout
    assert "memout: used 6.2 GiB of 6 GiB" in text
    assert "hint: Raise protocol.limits.memory" in text


def test_describe_dataset_names_its_failure(corepoint: Run, stub: Stub) -> None:
    failure = Failure.of(FailureCode.INVALID_DATA, "column x holds text")
    spec = {"name": "d", "source": {"builtin": "iris"}}
    stub.on("GET /v1/datasets/d", dataset_view(spec, failure=failure))
    assert "column x holds text" in corepoint("describe", "dataset/d").stdout


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (ProblemCode.NOT_FOUND, 3),
        (ProblemCode.UNAUTHENTICATED, 4),
        (ProblemCode.FORBIDDEN, 4),
        (ProblemCode.INVALID_REQUEST, 1),
        (ProblemCode.INTERNAL, 1),
    ],
)
def test_a_problem_is_printed_whole_and_sets_the_exit_code(
    corepoint: Run, stub: Stub, code: ProblemCode, exit_code: int
) -> None:
    stub.on("GET /v1/experiments/x", problem(code, "what happened", **{"/algorithms/0": "is odd"}))
    done = corepoint("get", "experiment", "x")
    assert (done.exit_code, done.stdout) == (exit_code, "")
    assert "what happened" in done.stderr
    assert "  /algorithms/0: is odd" in done.stderr
    assert "hint: " in done.stderr
    assert "request id: req-42" in done.stderr


def test_a_busy_server_is_asked_again(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/runs", problem(ProblemCode.UNAVAILABLE), page(run_view()))
    done = corepoint("get", "runs", "-o", "name")
    assert done.stdout == f"run/{RUN}\n"
    assert len(stub.asked) == 2


def test_a_server_that_is_not_there_is_named_with_a_hint(corepoint: Run) -> None:
    done = corepoint("get", "runs", "--server", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "cannot reach http://127.0.0.1:9" in done.stderr
    assert "corepoint up" in done.stderr


def test_an_answer_that_is_no_json_is_told_in_words(corepoint: Run, stub: Stub) -> None:
    stub.on("GET /v1/runs", Answer(b"<html>", content_type="text/html"))
    assert "did not answer JSON" in corepoint("get", "runs").stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", "pods"],
        ["get", "trials"],
        ["get", "experiments", "--state", "failed"],
        ["get", "run/x", "y"],
        ["describe", "run"],
        ["delete", "run", "x"],
        ["wait", "cities", "--timeout", "soon"],
        ["get", "runs", "--server", "ftp://x"],
        ["get", "runs", "--server", "http://user:secret@host"],
        ["get", "runs", "-o", "xml"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2_and_asks_no_server(corepoint: Run, stub: Stub, arguments: list[str]) -> None:
    assert corepoint(*arguments).exit_code == 2
    assert stub.asked == []


def test_the_key_comes_from_environment_or_a_private_file(
    corepoint: Run, stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.on("GET /v1/runs", page(run_view()))
    file = tmp_path / "config" / "corepoint" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('api_key = "from-file"\n')
    file.chmod(0o644)
    assert "others can read it" in corepoint("get", "runs").stderr
    file.chmod(0o600)
    corepoint("get", "runs")
    monkeypatch.setenv("COREPOINT_API_KEY", "from-environment")
    corepoint("get", "runs")
    keys = [asked.headers["Authorization"] for asked in stub.asked]
    assert keys == ["Bearer from-file", "Bearer from-environment"]

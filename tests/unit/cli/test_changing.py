"""create, run, wait, cancel, delete: what is sent, and how a run's end becomes an exit code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.contracts.failures import Failure, FailureCode
from app.contracts.problems import ProblemCode
from app.contracts.states import DatasetState, QueueName, RunState
from app.contracts.views import PlannedTrial, PlanView, UploadView
from tests.unit.cli.conftest import Run
from tests.unit.cli.stub import Stub, problem
from tests.unit.cli.views import (
    EXPERIMENT_DOCUMENT,
    OTHER_RUN,
    RUN,
    UPLOAD,
    dataset_view,
    experiment_view,
    run_view,
)

GENERATED = {"kind": "Dataset", "name": "blobs", "source": {"generate": {"kind": "blobs", "n": 100}}}
POINTS = b"x,y\n1,2\n3,4\n"
UPLOADED = UploadView(id=UPLOAD, size_bytes=len(POINTS), sha256=hashlib.sha256(POINTS).hexdigest())


@pytest.fixture
def document(tmp_path: Path) -> Any:
    def write(*documents: dict[str, Any]) -> str:
        file = tmp_path / "all.yaml"
        file.write_text(yaml.safe_dump_all(documents))
        (tmp_path / "points.csv").write_bytes(POINTS)
        return str(file)

    return write


def from_file(**changes: Any) -> dict[str, Any]:
    return {"kind": "Dataset", "name": "mine", "source": {"path": "points.csv"}, **changes}


def test_datasets_come_before_the_experiments_that_need_them(corepoint: Run, stub: Stub, document: Any) -> None:
    stub.on("POST /v1/datasets", dataset_view(GENERATED))
    stub.on("POST /v1/experiments", experiment_view())
    done = corepoint("create", "-f", document(EXPERIMENT_DOCUMENT, GENERATED))
    assert done.stdout.splitlines() == ["dataset/blobs created", "experiment/cities created", f"run/{RUN} started"]
    assert [asked.path for asked in stub.asked if asked.method == "POST"] == ["/v1/datasets", "/v1/experiments"]


def test_an_experiment_is_sent_as_written_with_a_fresh_idempotency_key(
    corepoint: Run, stub: Stub, document: Any
) -> None:
    stub.on("POST /v1/experiments", experiment_view())
    for _ in range(2):
        corepoint("create", "-f", document(EXPERIMENT_DOCUMENT))
    assert stub.asked[0].json == EXPERIMENT_DOCUMENT
    keys = [asked.headers["Idempotency-Key"] for asked in stub.asked]
    assert len(set(keys)) == 2


@pytest.mark.parametrize("busy", [ProblemCode.UNAVAILABLE, ProblemCode.REQUEST_IN_FLIGHT])
def test_a_repetition_after_a_busy_answer_has_the_same_key(
    corepoint: Run, stub: Stub, document: Any, busy: ProblemCode
) -> None:
    stub.on("POST /v1/experiments", problem(busy), experiment_view())
    assert corepoint("create", "-f", document(EXPERIMENT_DOCUMENT)).exit_code == 0
    first, second = (asked.headers["Idempotency-Key"] for asked in stub.asked)
    assert first == second


def test_stdin_is_a_file_and_no_run_starts_none(corepoint: Run, stub: Stub) -> None:
    stub.on("POST /v1/experiments", experiment_view(latest_run_id=None))
    done = corepoint("create", "-f", "-", "--no-run", text=json.dumps(EXPERIMENT_DOCUMENT))
    assert done.stdout == "experiment/cities created\n"
    assert stub.asked[0].query == {"start": "false"}


def test_a_path_is_uploaded_relative_to_the_document(corepoint: Run, stub: Stub, document: Any) -> None:
    sent = from_file(source={"upload": str(UPLOAD)}, format="csv")
    stub.on("POST /v1/uploads", UPLOADED)
    stub.on("POST /v1/datasets", dataset_view(sent))
    assert corepoint("create", "-f", document(from_file())).stdout == "dataset/mine created\n"
    assert stub.requests("POST", "/v1/uploads")[0].body == POINTS
    body = stub.requests("POST", "/v1/datasets")[0].json
    assert (body["source"], body["format"]) == ({"upload": str(UPLOAD)}, "csv")


def test_a_server_path_is_not_uploaded(corepoint: Run, stub: Stub, document: Any) -> None:
    stub.on("POST /v1/datasets", dataset_view(from_file()))
    corepoint("create", "-f", document(from_file()), "--server-path")
    assert stub.requests("POST", "/v1/datasets")[0].json["source"] == {"path": "points.csv"}
    assert stub.requests("POST", "/v1/uploads") == []


def test_a_missing_file_is_wrong_usage_and_changes_nothing(corepoint: Run, stub: Stub, document: Any) -> None:
    done = corepoint("create", "-f", document(from_file(source={"path": "gone.csv"})))
    assert done.exit_code == 2
    assert "gone.csv" in done.stderr
    assert stub.asked == []


def test_an_identical_dataset_is_unchanged(corepoint: Run, stub: Stub, document: Any) -> None:
    stub.on("GET /v1/datasets/blobs", dataset_view(GENERATED))
    assert corepoint("create", "-f", document(GENERATED)).stdout == "dataset/blobs unchanged\n"
    assert stub.requests("POST", "/v1/datasets") == []


def test_a_dataset_of_the_same_file_is_unchanged_and_not_uploaded_again(
    corepoint: Run, stub: Stub, document: Any
) -> None:
    made_of = from_file(source={"upload": str(UPLOAD)}, format="csv")
    stub.on("GET /v1/datasets/mine", dataset_view(made_of, upload_sha256=UPLOADED.sha256))
    assert corepoint("create", "-f", document(from_file())).stdout == "dataset/mine unchanged\n"
    assert stub.requests("POST", "/v1/uploads") == []


@pytest.mark.parametrize(
    ("changes", "sha256", "said"),
    [({}, "00" * 32, "another file"), ({"scaling": "minmax"}, UPLOADED.sha256, "another specification")],
    ids=["file", "specification"],
)
def test_another_dataset_under_the_name_is_refused(
    *, corepoint: Run, stub: Stub, document: Any, changes: dict[str, Any], sha256: str, said: str
) -> None:
    spec = from_file(source={"upload": str(UPLOAD)}, format="csv", **changes)
    stub.on("GET /v1/datasets/mine", dataset_view(spec, upload_sha256=sha256))
    done = corepoint("create", "-f", document(from_file()))
    assert done.exit_code == 1
    assert f"exists with {said}" in done.stderr


def test_a_taken_name_hints_at_run(corepoint: Run, stub: Stub, document: Any) -> None:
    stub.on("POST /v1/experiments", problem(ProblemCode.NAME_TAKEN))
    done = corepoint("create", "-f", document(EXPERIMENT_DOCUMENT))
    assert done.exit_code == 1
    assert "corepoint run cities" in done.stderr


def test_an_invalid_document_reaches_no_server(corepoint: Run, stub: Stub, document: Any) -> None:
    done = corepoint("create", "-f", document({**EXPERIMENT_DOCUMENT, "rouns": 3}))
    assert done.exit_code == 1
    assert "/rouns (line" in done.stderr
    assert stub.asked == []


def test_a_dry_run_shows_queue_and_why_and_writes_nothing(corepoint: Run, stub: Stub, document: Any) -> None:
    trial = PlannedTrial(
        label="sklearn-dbscan", parameters={"eps": 0.05}, dataset="world-cities", sample_size=1000,
        queue=QueueName.HIGH_MEMORY, routing="estimated 11.2 GiB > 6 GiB of default",
        predicted_bytes=12_025_908_428, predicted_seconds=2.0,
    )  # fmt: skip
    stub.on("POST /v1/experiments", PlanView(trials=[trial], batches=1, queues={QueueName.HIGH_MEMORY: 1}))
    done = corepoint("create", "-f", document(EXPERIMENT_DOCUMENT, GENERATED), "--dry-run")
    assert [asked.query for asked in stub.asked] == [{"dry_run": "true"}]
    assert "estimated 11.2 GiB > 6 GiB of default" in done.stdout
    assert "~11.2 GiB" in done.stdout


@pytest.mark.parametrize(
    ("state", "exit_code"),
    [(RunState.SUCCEEDED, 0), (RunState.PARTIAL, 5), (RunState.FAILED, 5), (RunState.CANCELLED, 5)],
)
def test_waiting_ends_with_the_run_and_its_exit_code(
    corepoint: Run, stub: Stub, state: RunState, exit_code: int
) -> None:
    stub.on(f"GET /v1/runs/{RUN}", run_view(RunState.RUNNING), run_view(state))
    stub.on(f"GET /v1/runs/{RUN}/batches", {"items": []})
    done = corepoint("wait", str(RUN))
    assert done.exit_code == exit_code
    assert done.stdout == f"run/{RUN} {state}\n"
    assert "running" in done.stderr


def test_run_wait_starts_and_waits(corepoint: Run, stub: Stub) -> None:
    stub.on("POST /v1/experiments/cities/runs", run_view(RunState.QUEUED))
    stub.on(f"GET /v1/runs/{RUN}", run_view())
    done = corepoint("run", "cities", "--wait")
    assert (done.exit_code, done.stdout) == (0, f"run/{RUN} succeeded\n")
    assert stub.asked[0].headers["Idempotency-Key"]


def test_create_wait_fails_if_one_of_its_runs_does(corepoint: Run, stub: Stub, document: Any) -> None:
    stub.on("POST /v1/experiments", experiment_view(), experiment_view(OTHER_RUN))
    stub.on(f"GET /v1/runs/{RUN}", run_view(RunState.FAILED))
    stub.on(f"GET /v1/runs/{OTHER_RUN}", run_view(run_id=OTHER_RUN))
    both = document(EXPERIMENT_DOCUMENT, {**EXPERIMENT_DOCUMENT, "name": "again"})
    assert corepoint("create", "-f", both, "--wait").exit_code == 5


def test_the_timeout_is_exit_124_and_the_run_goes_on(corepoint: Run, stub: Stub) -> None:
    stub.on(f"GET /v1/runs/{RUN}", run_view(RunState.RUNNING))
    stub.on(f"GET /v1/runs/{RUN}/batches", {"items": []})
    done = corepoint("wait", str(RUN), "--timeout", "0.2s")
    assert done.exit_code == 124
    assert stub.requests("POST", f"/v1/runs/{RUN}/cancel") == []


def test_waiting_for_a_dataset_tells_why_it_failed(corepoint: Run, stub: Stub) -> None:
    failed = dataset_view(
        GENERATED, DatasetState.FAILED, failure=Failure.of(FailureCode.INVALID_DATA, "column x holds text")
    )
    stub.on("GET /v1/datasets/blobs", dataset_view(GENERATED, DatasetState.PREPARING), failed)
    done = corepoint("wait", "dataset/blobs")
    assert done.exit_code == 5
    assert "column x holds text" in done.stderr


def test_cancel_and_delete_say_what_they_did(corepoint: Run, stub: Stub) -> None:
    stub.on(f"POST /v1/runs/{RUN}/cancel", run_view(RunState.RUNNING, cancel_requested=True))
    stub.on("DELETE /v1/experiments/cities", None)
    assert corepoint("cancel", str(RUN)).stdout == f"run/{RUN} cancel requested\n"
    assert corepoint("delete", "experiment", "cities").stdout == "experiment/cities deleted\n"


def test_a_name_cannot_leave_its_place_in_the_path(corepoint: Run, stub: Stub) -> None:
    corepoint("delete", "dataset", "../experiments/cities?x=1")
    assert stub.asked[0].path == "/v1/datasets/..%2Fexperiments%2Fcities%3Fx%3D1"


def test_an_urgent_run_is_asked_for_as_such(corepoint: Run, stub: Stub, document: Any) -> None:
    stub.on("POST /v1/experiments/cities/runs", run_view(urgent=True))
    corepoint("run", "cities", "--urgent")
    assert stub.asked[0].json == {"urgent": True}
    stub.on("POST /v1/experiments", experiment_view())
    corepoint("create", "-f", document(EXPERIMENT_DOCUMENT), "--urgent")
    assert stub.asked[-1].query == {"urgent": "true"}
    refused = corepoint("create", "-f", document(EXPERIMENT_DOCUMENT), "--urgent", "--no-run")
    assert (refused.exit_code, "--no-run" in refused.stderr) == (2, True)


@pytest.mark.parametrize("verb", ["pin", "unpin"])
def test_a_run_is_pinned_and_unpinned(corepoint: Run, stub: Stub, verb: str) -> None:
    stub.on(f"POST /v1/runs/{RUN}/{verb}", run_view(pinned=verb == "pin"))
    assert corepoint(verb, str(RUN)).stdout == f"run/{RUN} {verb}ned\n"

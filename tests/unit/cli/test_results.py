"""compare and export: the answer as a table, as tidy rows, as the report."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from rich.console import Console

from app.cli.progress import Snapshot, plain_lines, render
from app.contracts.assignment import Progress
from app.contracts.states import BatchState, QueueName, RunState
from app.contracts.views import BatchView
from tests.unit.cli.conftest import Run
from tests.unit.cli.stub import Answer, Stub
from tests.unit.cli.views import CREATED, RUN, run_view
from tests.unit.report.made_up import comparison, failed, group, many_tasks, reference, three_implementations


@pytest.fixture
def _three(stub: Stub) -> None:
    stub.on(f"GET /v1/runs/{RUN}/comparison", three_implementations())


@pytest.mark.usefixtures("_three")
def test_compare_shows_verdict_time_ratio_memory_and_marks(corepoint: Run) -> None:
    lines = corepoint("compare", str(RUN)).stdout.splitlines()
    parallel = next(line for line in lines if line.startswith("sklearn-dbscan-parallel "))
    for wanted in ("identical", "1.80× [1.70, 1.90]", "96.0 MiB", "412", "8.3 %", "141 k"):  # noqa: RUF001
        assert wanted in parallel
    assert "reused,unpaired" in next(line for line in lines if line.startswith("spark-dbscan "))
    assert "reference" in next(line for line in lines if line.startswith("sklearn-dbscan "))


def test_compare_shows_failures_with_their_hint(corepoint: Run, stub: Stub) -> None:
    stub.on(f"GET /v1/runs/{RUN}/comparison", comparison([group([reference(), failed("spark-dbscan")])]))
    text = corepoint("compare", str(RUN)).stdout
    assert "failed (memout)" in text
    assert "hint: Raise protocol.limits.memory" in text


def test_compare_tells_growth_and_tests(corepoint: Run, stub: Stub) -> None:
    stub.on(f"GET /v1/runs/{RUN}/comparison", many_tasks())
    said = corepoint("compare", str(RUN)).stderr
    assert "n^1.21" in said
    assert "p = 0.016 (Holm) over 8 tasks" in said


@pytest.mark.usefixtures("_three")
def test_compare_json_is_the_comparison(corepoint: Run) -> None:
    said = json.loads(corepoint("compare", str(RUN), "-o", "json").stdout)
    assert said == three_implementations().model_dump(mode="json")


@pytest.mark.usefixtures("_three")
def test_csv_has_one_row_per_trial(corepoint: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(corepoint("export", str(RUN), "--format", "csv").stdout)))
    assert [row["label"] for row in rows] == ["sklearn-dbscan", "sklearn-dbscan-parallel", "spark-dbscan"]
    assert (rows[1]["ratio"], rows[1]["sample_size"], rows[2]["reused"]) == ("1.8", "144000", "true")


def test_csv_runs_no_formula_in_a_spreadsheet(corepoint: Run, stub: Stub) -> None:
    stub.on(f"GET /v1/runs/{RUN}/comparison", comparison([group([failed("a", message="=HYPERLINK(1)")])]))
    rows = list(csv.DictReader(io.StringIO(corepoint("export", str(RUN), "--format", "csv").stdout)))
    assert rows[0]["failure_message"] == "'=HYPERLINK(1)"


def test_the_report_is_written_whole(corepoint: Run, stub: Stub, tmp_path: Path) -> None:
    stub.on(f"GET /v1/runs/{RUN}/report", Answer("<p>é</p>".encode(), content_type="text/html; charset=utf-8"))
    target = tmp_path / "report.html"
    done = corepoint("export", str(RUN), "--format", "html", "-o", str(target))
    assert (done.exit_code, done.stdout) == (0, "")
    assert target.read_text(encoding="utf-8") == "<p>é</p>"
    assert list(tmp_path.glob(".report*")) == []


@pytest.mark.usefixtures("_three")
def test_a_file_that_cannot_be_written_is_told(corepoint: Run, tmp_path: Path) -> None:
    done = corepoint("export", str(RUN), "--format", "json", "-o", str(tmp_path / "no" / "x.json"))
    assert done.exit_code == 1
    assert "cannot write" in done.stderr


def moving() -> Snapshot:
    batch = BatchView(
        id=UUID(int=1), run_id=RUN, position=0, queue=QueueName.SPARK, state=BatchState.RUNNING, attempt=2,
        worker="w-1", progress=Progress(samples_done=3, samples_total=12), estimated_seconds=60,
    )  # fmt: skip
    waiting = batch.model_copy(update={"state": BatchState.WAITING, "position": 1, "progress": None})
    return Snapshot(run_view(RunState.RUNNING), [batch, waiting])


def test_the_live_view_has_elapsed_time_and_progress_per_batch() -> None:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(render(moving(), CREATED + timedelta(seconds=75)))
    text = console.export_text()
    assert "1:15" in text
    assert "batch 0 (spark) running on w-1, attempt 2" in text
    assert "3/12 samples" in text
    assert "and 1 more" in text


def test_plain_lines_repeat_only_when_something_changed() -> None:
    assert plain_lines(moving()) == plain_lines(moving())
    assert len(plain_lines(moving())) == 2

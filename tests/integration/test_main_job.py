"""The main job through real parts: API, dispatcher, Prefect, MLflow, Spark; used by command line and HTTP."""

from __future__ import annotations

import hmac
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import pyarrow.parquet as pq
import pytest

from tests.stack import Stack

pytestmark = pytest.mark.timeout(240)

BLOBS = """
apiVersion: corepoint/v1
kind: Dataset
name: blobs
source: {generate: {kind: blobs, n: 4000, centers: 8, spread: 0.3, seed: 1}}
"""
THREE = (
    BLOBS
    + """
---
apiVersion: corepoint/v1
kind: Experiment
name: three
datasets: [blobs]
parameters: {eps: 0.15, min_samples: 10}
algorithms:
  - {name: sequential, algorithm: sklearn-dbscan}
  - {name: parallel, algorithm: sklearn-dbscan-parallel}
  - {name: spark, algorithm: spark-dbscan}
protocol: {rounds: 5, colocate: true}
"""
)

TWO = """
apiVersion: corepoint/v1
kind: Experiment
name: two
datasets: [blobs]
parameters: {eps: 0.15, min_samples: 10}
algorithms:
  - {name: sequential, algorithm: sklearn-dbscan}
  - {name: parallel, algorithm: sklearn-dbscan-parallel}
"""


class Receiver(BaseHTTPRequestHandler):
    """A user's webhook."""

    received: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.headers["X-Corepoint-Signature"], body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def webhook() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(
        tmp_path_factory.mktemp("corepoint"),
        COREPOINT_NOTIFICATIONS__ALLOWED_HOSTS='["127.0.0.1"]',
        COREPOINT_NOTIFICATIONS__SECRET="for the test",
    )
    stack.start()
    yield stack
    stack.stop()
    left = stack.processes()
    assert left == [], "corepoint stops what it started"


@pytest.fixture(scope="module")
def three(stack: Stack) -> str:
    """The run of three implementations, finished."""
    stack.create(THREE, "--wait")
    return stack.latest_run("three")


def test_three_implementations_agree_and_are_compared_with_intervals(stack: Stack, three: str) -> None:
    comparison = stack.get(f"/v1/runs/{three}/comparison")
    entries = {entry["label"]: entry for entry in comparison["groups"][0]["entries"]}
    assert set(entries) == {"sequential", "parallel", "spark"}
    assert entries["parallel"]["verdict"] == entries["spark"]["verdict"] == "identical"
    for entry in entries.values():
        assert len(entry["timing"]["samples"]) == 5
        assert entry["memory"]["peak_bytes"] > entry["memory"]["baseline_bytes"] > 0
        assert entry["quality"]["clusters"] == entries["sequential"]["quality"]["clusters"] > 1
        assert entry["quality"]["silhouette"] == entries["sequential"]["quality"]["silhouette"]
    for label in ("parallel", "spark"):
        ratio = entries[label]["ratio"]
        assert ratio["paired"]
        assert 0 < ratio["low"] <= ratio["estimate"] <= ratio["high"]


def test_samples_of_a_round_are_interleaved_and_each_round_is_one_object(stack: Stack, three: str) -> None:
    rounds = stack.rounds(three)
    assert sorted(rounds) == [0, 1, 2, 3, 4, 5]
    for saved in rounds.values():
        assert [sample["order"] for sample in saved["samples"]] == [0, 1, 2]
        assert len({sample["trial_id"] for sample in saved["samples"]}) == 3
    assert len({tuple(sample["trial_id"] for sample in saved["samples"]) for saved in rounds.values()}) > 1


def test_manifest_is_the_result_and_names_its_labels(stack: Stack, three: str) -> None:
    trials = stack.get(f"/v1/runs/{three}/trials")["items"]
    bucket = stack.folder / "objects" / "corepoint"
    for trial in trials:
        manifest = json.loads((bucket / trial["manifest_key"]).read_text())
        labels = pq.read_table(bucket / manifest["labels"]["key"])
        assert labels.num_rows == 4000
        assert set(labels.column_names) >= {"label", "core"}
        assert trial["fit_seconds_median"] > 0
        assert "of default" in trial["routing"]


def test_runs_are_mirrored_in_mlflow_once(stack: Stack, three: str) -> None:
    base = f"http://127.0.0.1:{stack.ports['mlflow']}/api/2.0/mlflow"

    def mirrored() -> list[dict[str, object]]:
        experiment = httpx.get(f"{base}/experiments/get-by-name", params={"experiment_name": "three"}, timeout=10)
        if experiment.is_error:
            return []
        body = {"experiment_ids": [experiment.json()["experiment"]["experiment_id"]]}
        runs = httpx.post(f"{base}/runs/search", json=body, timeout=10).json().get("runs", [])
        done = [run for run in runs if run["info"]["status"] == "FINISHED"]
        return done if len(done) == 3 else []

    runs = stack.wait(mirrored, 40, "three MLflow runs")
    assert {run["info"]["run_name"] for run in runs} == {"sequential", "parallel", "spark"}  # type: ignore[index]


def test_one_deployment_per_experiment_and_queue_and_one_flow_run_per_attempt(stack: Stack, three: str) -> None:
    base = f"http://127.0.0.1:{stack.ports['prefect']}/api"
    deployments = httpx.post(
        f"{base}/deployments/filter", json={"deployments": {"name": {"any_": ["three.default"]}}}, timeout=10
    ).json()
    assert [deployment["entrypoint"] for deployment in deployments] == ["flows.measure_batch.measure_batch"]
    runs = httpx.post(
        f"{base}/flow_runs/filter", json={"flow_runs": {"tags": {"all_": [f"run:{three}"]}}}, timeout=10
    ).json()
    assert len(runs) == 1


def test_a_second_run_reuses_what_is_measured_and_says_so(stack: Stack, three: str) -> None:
    stack.command("run", "three", "--wait")
    second = stack.latest_run("three")
    assert second != three
    assert stack.rounds(second) == {}
    assert stack.get(f"/v1/runs/{second}")["reused_trials"] == 3
    assert stack.command("compare", second).count("reused") == 3


def test_a_preview_goes_the_whole_path_and_is_no_measurement(stack: Stack, three: str) -> None:
    stack.create(TWO, "--no-run")
    stack.command("preview", "two", "--rows", "500", "--wait", "--timeout", "120s")
    [run] = stack.get("/v1/runs?experiment=two")["items"]
    assert run["trigger"] == "preview"
    assert {batch["queue"] for batch in stack.get(f"/v1/runs/{run['id']}/batches")["items"]} == {"priority"}
    trials = stack.get(f"/v1/runs/{run['id']}/trials")["items"]
    assert {(trial["label"], trial["state"], trial["sample_size"]) for trial in trials} == {
        (label, "succeeded", 500) for label in ("sequential", "parallel")
    }
    assert (run["reused_trials"], sorted(stack.rounds(run["id"]))) == (0, [0, 1])
    assert stack.get("/v1/experiments/two")["latest_run_id"] is None
    assert "preview, not a measurement" in stack.command("compare", run["id"])
    page = stack.command("export", run["id"], "--format", "html")
    assert "not a measurement" in page
    assert "faster than" not in page.split("<main>")[0]


def test_the_report_is_one_file_that_needs_no_network(stack: Stack, three: str, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    stack.command("export", three, "--format", "html", "-o", str(target))
    page = target.read_text()
    assert "3 of 3 implementations identical" in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", markup) == []


def test_a_trial_that_fails_is_a_result_its_owner_hears_of_it_and_the_others_go_on(stack: Stack, webhook: str) -> None:
    stack.create(
        BLOBS
        + """
---
apiVersion: corepoint/v1
kind: Experiment
name: limited
datasets: [blobs]
parameters: {eps: [0.001, 50.0], min_samples: 10}
algorithms: [{algorithm: sklearn-dbscan}]
protocol: {rounds: 1, limits: {memory: 240MiB}}
notifications: [{url: WEBHOOK, "on": [failed]}]
""".replace("WEBHOOK", webhook),
        "--wait",
        code=5,
    )
    run = stack.latest_run("limited")
    assert stack.get(f"/v1/runs/{run}")["state"] == "partial"
    trials = {trial["parameters"]["eps"]: trial for trial in stack.get(f"/v1/runs/{run}/trials")["items"]}
    assert trials[0.001]["state"] == "succeeded"
    assert trials[50.0]["state"] == "failed"
    failure = trials[50.0]["failure"]
    assert failure["code"] == "memout"
    assert "240" in failure["message"]
    assert failure["hint"]
    stack.wait(lambda: Receiver.received, 20, "the webhook")
    [(signature, body)] = Receiver.received
    assert json.loads(body) | {"finished_at": ""} == {
        "event": "failed",
        "experiment": "limited",
        "run_id": run,
        "state": "partial",
        "finished_at": "",
    }
    assert signature == "sha256=" + hmac.new(b"for the test", body, "sha256").hexdigest()


def test_cancel_stops_the_run_and_leaves_no_child(stack: Stack) -> None:
    stack.create(
        BLOBS
        + """
---
apiVersion: corepoint/v1
kind: Experiment
name: long
datasets: [blobs]
parameters: {eps: 0.15}
algorithms: [{algorithm: sklearn-dbscan}]
protocol: {rounds: 100, reuse: never}
"""
    )
    run = stack.latest_run("long")
    stack.wait(lambda: 1 in stack.rounds(run), 60, "the first timed round")
    cancelled_at = time.monotonic()
    stack.command("cancel", run)
    stack.wait(lambda: stack.get(f"/v1/runs/{run}")["state"] == "cancelled", 15, "the run to be cancelled")
    stack.wait(lambda: not stack.children_of_samples(), 10 - min(9.0, time.monotonic() - cancelled_at), "no child")
    assert len(stack.rounds(run)) < 100


def test_an_uploaded_file_is_cleaned_as_declared_and_a_bad_one_says_why(stack: Stack, tmp_path: Path) -> None:
    rows = ["lon,lat,note"] + [f"{i % 10},{i // 10},x" for i in range(100)] + [",5,missing", "500,5,far"]
    (tmp_path / "points.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3\n")
    document = tmp_path / "data.yaml"
    document.write_text("""
apiVersion: corepoint/v1
kind: Dataset
name: from-file
source: {path: points.csv}
columns: [lon, lat]
cleaning: {missing: drop, boundingBox: {lon: [0, 100]}}
---
apiVersion: corepoint/v1
kind: Dataset
name: ragged
source: {path: ragged.csv}
""")
    stack.command("create", "-f", str(document))
    stack.command("wait", "dataset/from-file")
    profile = stack.get("/v1/datasets/from-file")["profile"]
    assert (profile["n"], profile["rows_missing"], profile["rows_outside_box"]) == (100, 1, 1)
    stack.command("wait", "dataset/ragged", code=5)
    failure = stack.get("/v1/datasets/ragged")["failure"]
    assert failure["code"] == "invalid_data"
    assert "line 3" in failure["message"]


def test_prefect_starts_a_scheduled_run_which_claims_its_batch(stack: Stack, three: str) -> None:
    stack.create(
        BLOBS
        + """
---
apiVersion: corepoint/v1
kind: Experiment
name: hourly
datasets: [blobs]
parameters: {eps: 0.15, min_samples: 10}
algorithms: [{algorithm: sklearn-dbscan}]
protocol: {rounds: 1}
schedule: {cron: "0 * * * *", timezone: Europe/Berlin}
"""
    )
    base = f"http://127.0.0.1:{stack.ports['prefect']}/api"

    def planned() -> list[dict[str, object]]:
        deployments = httpx.post(
            f"{base}/deployments/filter", json={"deployments": {"name": {"any_": ["hourly.default"]}}}, timeout=10
        ).json()
        if not deployments:
            return []
        body = {"deployments": {"id": {"any_": [deployments[0]["id"]]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": 5}
        found: list[dict[str, object]] = httpx.post(f"{base}/flow_runs/filter", json=body, timeout=10).json()
        return found

    upcoming = stack.wait(planned, 60, "Prefect to plan flow runs")
    # What Prefect planned for the next hour is started now, as a person would with "run now".
    state = {"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": "2026-01-01T00:00:00Z"}}, "force": True}
    httpx.post(f"{base}/flow_runs/{upcoming[0]['id']}/set_state", json=state, timeout=10).raise_for_status()
    run = stack.wait(lambda: stack.get("/v1/runs?experiment=hourly")["items"], 60, "the scheduled run")[0]
    assert run["trigger"] == "scheduled"
    assert run["scheduled_for"] is not None
    done = stack.wait(lambda: stack.get(f"/v1/runs/{run['id']}")["finished_at"], 60, "the run to end")
    assert done
    assert stack.get(f"/v1/runs/{run['id']}")["state"] == "succeeded"
    assert sorted(stack.rounds(run["id"])) == [0, 1], "a scheduled run measures anew"

"""MLflow away while trials finish (craft.md section 6, case 14).

Seed: the experiments' own (0). Expected: runs complete as if it were there, each trial is written once, within 60 s of
its return. Time limit: as many seconds.
"""

from __future__ import annotations

from collections import Counter

import httpx
import pytest

from tests.faults.durations import WAITING_TRIALS
from tests.faults.place import Place
from tests.faults.specifications import experiment

pytestmark = pytest.mark.timeout(420)
BACK_SECONDS = 60


def written(place: Place, name: str) -> Counter[str]:
    """How many runs MLflow has of each trial of an experiment."""
    with httpx.Client(base_url=f"{place.mlflow_url()}/api/2.0/mlflow", timeout=20) as mlflow:
        found = mlflow.get("/experiments/get-by-name", params={"experiment_name": name})
        if found.is_error:
            return Counter()
        ids = [found.json()["experiment"]["experiment_id"]]
        runs = mlflow.post("/runs/search", json={"experiment_ids": ids, "max_results": 1000}).json().get("runs", [])
    tags = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs]
    return Counter(one["corepoint.trial_id"] for one in tags)


def test_trials_that_end_while_mlflow_is_away_are_written_once_when_it_is_back(place: Place) -> None:
    """Two dispatchers; it is silent, then refuses, then comes back."""
    place.part("mlflow").wait_until_ready()
    place.add_dispatcher()
    for link in place.links("mlflow"):
        link.blackhole()
    specification = experiment("mlflow-away")
    specification["parameters"] = {"min_samples": 10, "eps": [0.1 + 0.001 * one for one in range(WAITING_TRIALS)]}
    run = place.submitted(specification)
    assert place.ended(run, 300) == "succeeded"
    for link in place.links("mlflow"):
        link.cut()
    assert place.ended(place.submitted(experiment("mlflow-refuses")), 60) == "succeeded"
    assert written(place, "mlflow-away") == Counter()
    for link in place.links("mlflow"):
        link.heal()
    trials = {str(row["id"]) for row in place.sql("SELECT id FROM trial WHERE run_id = $1::uuid", run)}
    assert len(trials) == WAITING_TRIALS
    place.wait(lambda: written(place, "mlflow-away").keys() >= trials, BACK_SECONDS, "all trials in MLflow")
    assert written(place, "mlflow-away") == Counter(dict.fromkeys(trials, 1))
    unknown = "SELECT count(*) AS left FROM trial WHERE run_id = $1::uuid AND mlflow_run_id IS NULL"
    place.wait(lambda: place.sql(unknown, run)[0]["left"] == 0, BACK_SECONDS, "their ids in the rows")

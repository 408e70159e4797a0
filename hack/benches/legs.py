"""Where the time of one run goes, from its POST to its end, as corepoint's and Prefect's own records tell it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from tests.stack import Stack

END_SECONDS = 120.0
CHILD = ("start", "load", "warm_up", "fit", "score")  # phases of a sample that its child lives through


@dataclass(frozen=True)
class Legs:
    """Seconds after the POST was sent; `own` is the batch's own time, beyond the lives of its samples' children."""

    planned: float
    created: float
    taken: float
    running: float
    claimed: float
    first_fit: float
    first_timed_fit: float
    finished: float
    own: float


NAMES = {
    "planned": "run planned",
    "created": "flow run created in Prefect",
    "taken": "taken by the worker (PENDING)",
    "running": "Prefect's engine has begun (RUNNING)",
    "claimed": "**our flow code: batch claimed**",
    "first_fit": "fit of the memory pass begins",
    "first_timed_fit": "**first timed fit begins**",
    "finished": "batch reported and finished",
}


def start(stack: Stack, experiment: str) -> tuple[str, float]:
    """The run's id, and when its POST was sent."""
    sent = time.time()
    answer = httpx.post(f"{stack.server}/v1/experiments/{experiment}/runs", json={}, timeout=20)
    answer.raise_for_status()
    return str(answer.json()["id"]), sent


def legs(stack: Stack, run_id: str, sent: float) -> Legs:
    """Waits for the run to end, looking rarely: to look takes CPU from what is measured."""
    deadline = time.monotonic() + END_SECONDS
    while stack.get(f"/v1/runs/{run_id}?wait=10")["finished_at"] is None:
        assert time.monotonic() < deadline, f"run {run_id} did not end"
    assert stack.state(run_id) == "succeeded", run_id
    happened = {event["kind"]: _at(event["at"]) for event in stack.get(f"/v1/runs/{run_id}/events?limit=100")["items"]}
    [batch] = stack.get(f"/v1/runs/{run_id}/batches")["items"]
    states = _states(stack, batch["flow_run_id"])
    rounds = stack.rounds(run_id)
    finished = happened["batch_finished"]
    life = sum(_life(sample) for saved in rounds.values() for sample in saved["samples"])
    return Legs(
        planned=happened["run_queued"] - sent,
        created=states["SCHEDULED"] - sent,
        taken=states["PENDING"] - sent,
        running=states["RUNNING"] - sent,
        claimed=happened["batch_claimed"] - sent,
        first_fit=_fit_begins(rounds[0]["samples"][0]) - sent,
        first_timed_fit=_fit_begins(rounds[1]["samples"][0]) - sent,
        finished=finished - sent,
        own=finished - states["RUNNING"] - life,
    )


def _states(stack: Stack, flow_run_id: str) -> dict[str, float]:
    url = f"http://127.0.0.1:{stack.ports['prefect']}/api/flow_run_states/"
    answer = httpx.get(url, params={"flow_run_id": flow_run_id}, timeout=60)
    answer.raise_for_status()
    by_time = sorted(answer.json(), key=lambda state: str(state["timestamp"]), reverse=True)
    return {state["type"]: _at(state["timestamp"]) for state in by_time}  # the first of each type


def _fit_begins(sample: Mapping[str, Any]) -> float:
    phases = sample["phases"]
    return _at(sample["started_at"]) + sum(phases[name] or 0.0 for name in ("start", "load", "warm_up"))


def _life(sample: Mapping[str, Any]) -> float:
    return float(sum(sample["phases"][name] or 0.0 for name in CHILD))


def _at(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()

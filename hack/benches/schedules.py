"""How late scheduled runs are, with many experiments: their planned times are spread evenly over the interval."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from app.contracts.experiment import Schedule
from app.domain.schedule import PlannedTimes
from hack.benches.figures import median, percentile
from hack.benches.installation import installation, small_experiment, wait
from hack.benches.report import table, write_section
from tests.faults.place import Place

BAR_SECONDS = 5.0
SETTLE_SECONDS = 900.0
DRAIN_SECONDS = 600.0
PLANNED = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}, "tags": {"all_": ["auto-scheduled"]}}}
Planned = tuple[str, datetime]
"""An experiment's name and a time that its schedule wants."""


@dataclass(frozen=True)
class Seen:
    """Of a run, in seconds after its planned time; None if no batch of it was claimed."""

    exists: float
    claimed: float | None


def run(arguments: list[str]) -> int:
    options = _options(arguments)
    print(f"{options.experiments} experiments every {options.interval} s, {options.workers} workers", flush=True)
    with installation(options.workers, options.dispatchers) as place:
        schedules = _create(place, options.experiments, options.interval)
        begin = datetime.now(UTC)
        end = begin + timedelta(minutes=options.minutes)
        wanted = _wanted(schedules, begin, end)
        print(f"{len(wanted)} runs are planned until {end:%H:%M:%S} UTC", flush=True)
        time.sleep((end - datetime.now(UTC)).total_seconds())
        _drained(place, end)
        seen = _seen(place, begin, end)
        attempts = place.sql("SELECT count(*) AS n FROM batch WHERE attempt > 1")[0]["n"]
    lost, unwanted = set(wanted) - set(seen), set(seen) - set(wanted)
    unclaimed = sum(one.claimed is None for one in seen.values())
    body, held = _report(options, list(seen.values()), len(wanted))
    counts = f"Of {len(wanted)} planned runs {len(lost)} were lost, {len(unwanted)} made without a planned time, "
    counts += f"{unclaimed} not claimed; {attempts} batches were tried more than once."
    print(f"{body}\n\n{counts}")
    words = " ".join(["hack/bench schedules", *arguments])
    write_section("schedules", words, f"{body}\n\n{counts}")
    return 0 if held and not (lost or unwanted or unclaimed) else 1


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hack/bench schedules", description=__doc__)
    parser.add_argument("--experiments", type=int, default=1_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--interval", type=int, default=1_800, help="seconds; what the workers can sustain")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--dispatchers", type=int, default=1)
    return parser.parse_args(arguments)


def _create(place: Place, count: int, interval: int) -> dict[str, PlannedTimes]:
    """Experiments whose schedules Prefect has planned, by name."""
    base = datetime.now(UTC).replace(microsecond=0)
    schedules: dict[str, PlannedTimes] = {}
    with httpx.Client(base_url=place.server, headers=place.headers, timeout=30) as client:
        for number in range(count):
            anchor = base + timedelta(seconds=number * interval // count)
            schedule = {"intervalSeconds": interval, "anchor": anchor.isoformat(), "catchUp": "once"}
            name = f"scheduled-{number}"
            client.post("/v1/experiments", json=small_experiment(name, schedule=schedule)).raise_for_status()
            schedules[name] = PlannedTimes(Schedule.model_validate(schedule), base)
    told = "SELECT count(*) AS n FROM work WHERE kind = 'experiment'"
    wait(lambda: place.sql(told)[0]["n"] == 0, SETTLE_SECONDS, "Prefect to know all schedules")
    wait(lambda: int(place.of_prefect("/flow_runs/count", PLANNED)) >= count, SETTLE_SECONDS, "Prefect to plan")
    return schedules


def _wanted(schedules: dict[str, PlannedTimes], begin: datetime, end: datetime) -> list[Planned]:
    return [(name, moment) for name, planned in schedules.items() for moment in planned.newest(begin, end, 10_000)]


def _drained(place: Place, end: datetime) -> None:
    """What was planned by the end has ended; what comes later is of no interest."""
    open_runs = """
        SELECT count(*) AS n FROM run WHERE scheduled_for <= $1 AND finished_at IS NULL
    """
    time.sleep(2 * BAR_SECONDS)
    wait(lambda: place.sql(open_runs, end)[0]["n"] == 0, DRAIN_SECONDS, "the runs to end")


def _seen(place: Place, begin: datetime, end: datetime) -> dict[Planned, Seen]:
    query = """
        SELECT experiment.name, run.scheduled_for, run.created_at,
               (SELECT min(at) FROM event WHERE event.run_id = run.id AND kind = 'batch_claimed') AS claimed_at
        FROM run JOIN experiment ON experiment.id = run.experiment_id
        WHERE run.scheduled_for > $1 AND run.scheduled_for <= $2 AND run.state <> 'cancelled'
    """
    return {(row["name"], row["scheduled_for"]): _lateness(row) for row in place.sql(query, begin, end)}


def _lateness(row: dict[str, Any]) -> Seen:
    planned, claimed = row["scheduled_for"], row["claimed_at"]
    exists = (row["created_at"] - planned).total_seconds()
    return Seen(exists, None if claimed is None else (claimed - planned).total_seconds())


def _report(options: argparse.Namespace, seen: Sequence[Seen], wanted: int) -> tuple[str, bool]:
    rows, held = [], bool(seen)
    figures = {
        "planned time → the run exists": [one.exists for one in seen],
        "planned time → its batch is claimed": [one.claimed for one in seen if one.claimed is not None],
    }
    for what, values in figures.items():
        p95 = percentile(values, 0.95) if values else float("inf")
        held = held and p95 <= BAR_SECONDS
        shown = [f"{value:.2f} s" for value in (median(values), p95, max(values))] if values else ["none"] * 3
        rows.append([what, *shown, f"p95 ≤ {BAR_SECONDS:.0f} s", "yes" if p95 <= BAR_SECONDS else "**no**"])
    per_minute = wanted / options.minutes
    head = f"{options.experiments:,} experiments with a schedule, {per_minute:.0f} runs a minute for "
    head += f"{options.minutes:g} minutes, {options.workers} worker(s), {options.dispatchers} dispatcher(s).\n\n"
    return head + table(["lateness", "p50", "p95", "max", "bar", "held"], rows), held

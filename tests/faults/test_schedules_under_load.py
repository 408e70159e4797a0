"""Schedules that change while their times come, with two dispatchers of which one is killed and one frozen."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.faults.place import Place
from tests.faults.specifications import experiment

SECONDS = 120.0
COUNT = 12


def scheduled(number: int, first: datetime) -> dict[str, Any]:
    schedule = {"intervalSeconds": 3600, "anchor": first.isoformat()}
    return {**experiment(f"planned-{number}"), "schedule": schedule}


def change(place: Place, method: str, name: str, path: str = "", body: Any = None) -> None:
    answer = httpx.request(
        method, f"{place.server}/v1/experiments/{name}/schedule{path}", json=body, headers=place.headers, timeout=30
    )
    assert answer.is_success, answer.text


def times(place: Place) -> Counter[str]:
    """Experiments with a run for a planned time; how many."""
    query = """
        SELECT experiment.name FROM run JOIN experiment ON experiment.id = run.experiment_id
        WHERE run.scheduled_for IS NOT NULL AND run.state <> 'cancelled'
    """
    return Counter(row["name"] for row in place.sql(query))


def test_each_planned_time_has_one_run_whatever_changes_and_whoever_dies(place: Place) -> None:
    second = place.add_dispatcher()
    first = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=20)
    for number in range(COUNT):
        # Half of them come at once, half one after the other.
        at = first + timedelta(seconds=number % 6)
        created = place.post("/v1/experiments", scheduled(number, at))
        assert created.status_code == httpx.codes.ACCEPTED, created.text
    change(place, "POST", "planned-0", "/pause")
    change(place, "DELETE", "planned-1")
    for number in (2, 3):
        change(place, "POST", f"planned-{number}", "/pause")
        change(place, "POST", f"planned-{number}", "/resume")
    # On a machine that is too busy to be in time, the first two may have had their run.
    open_ended = set() if datetime.now(UTC) < first else {"planned-0", "planned-1"}
    place.part("dispatcher-1").kill()
    place.wait(lambda: datetime.now(UTC) > first + timedelta(seconds=3), SECONDS, "the first times")
    place.part(second).freeze()
    place.start_again("dispatcher-1")
    for number in (4, 5):
        change(place, "PUT", f"planned-{number}", body={"intervalSeconds": 7200, "anchor": first.isoformat()})
    place.wait(lambda: datetime.now(UTC) > first + timedelta(seconds=6), SECONDS, "the last times")
    place.part(second).thaw()
    kept = {f"planned-{number}" for number in range(2, COUNT)}
    # Those that changed at their very moment have their run by the old schedule, or the new one wants another time.
    open_ended |= {"planned-4", "planned-5"}
    place.wait(lambda: set(times(place)) >= kept - open_ended, SECONDS, "the runs of all planned times")
    place.wait(lambda: not place.open_runs(), SECONDS, "the runs to end")
    found = times(place)
    assert set(found) <= kept | open_ended
    assert set(found.values()) == {1}, found
    twice = "SELECT run_id FROM event WHERE kind = 'batch_finished' GROUP BY run_id HAVING count(*) > 1"
    assert not place.sql(twice)
    for number in range(COUNT):
        removed = httpx.delete(f"{place.server}/v1/experiments/planned-{number}", headers=place.headers, timeout=30)
        assert removed.status_code == httpx.codes.NO_CONTENT, removed.text
    tags = [f"experiment:{row['entity_id']}" for row in place.sql("SELECT entity_id FROM work WHERE kind = 'forget'")]
    place.wait(lambda: not place.sql("SELECT 1 FROM work WHERE kind = 'forget'"), SECONDS, "Prefect to forget them")
    assert not place.of_prefect("/deployments/filter", {"deployments": {"tags": {"any_": tags}}})

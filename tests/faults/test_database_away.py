"""PostgreSQL restarted, cut off, slow, or all of its connections taken (craft.md section 6, case 10).

Seed: the experiments' own (0). Expected of requests: 503 with Retry-After, soon; of everything: as before within 15 s
of the end of the outage. Outages are of OUTAGE_SECONDS.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.faults.durations import BEGIN_SECONDS, OUTAGE_SECONDS
from tests.faults.place import Place
from tests.faults.specifications import experiment

pytestmark = pytest.mark.timeout(500)

ANSWER_SECONDS = 5.0
"""A connection is waited for for 2 s; one that is found to be dead takes 2 s more to be closed."""
RECOVERY_SECONDS = 15.0
STATEMENT_SECONDS = 15.0  # DatabaseSettings.statement_seconds: of requests that were under way


def ask(place: Place, server: str | None = None) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    answer = place.post("/v1/experiments?dry_run=true", experiment("asked"), server=server)
    return answer, time.monotonic() - began


def assert_refused_soon(place: Place, server: str | None = None) -> None:
    answer, seconds = ask(place, server)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert seconds < ANSWER_SECONDS


def assert_recovers(place: Place, server: str | None = None) -> None:
    """Requests, and the way from a submission to its result."""
    began = time.monotonic()
    place.wait(lambda: ask(place, server)[0].is_success, RECOVERY_SECONDS, "the API to recover")
    assert time.monotonic() - began < RECOVERY_SECONDS
    assert {ask(place, server)[0].status_code for _ in range(20)} == {200}


@contextmanager
def measuring(place: Place, name: str) -> Iterator[str]:
    """A run that measures before and after; it ends well, by its first attempt."""
    run = place.submitted(experiment(name, dataset="large", rounds=100))
    place.wait(lambda: 1 in place.rounds(run), BEGIN_SECONDS, "a timed round")
    yield run
    before = len(place.rounds(run))
    place.wait(lambda: len(place.rounds(run)) > before, 60, "the batch to go on")
    batch = place.batch(run)
    assert (batch["state"], batch["attempt"]) == ("running", 1)
    assert len(place.events(run, "batch_claimed")) == 1


def test_a_restarted_database_is_found_again(place: Place) -> None:
    """Killed like a power cut, without an orderly end. Limit: 15 s after it is back."""
    with measuring(place, "restarted"):
        place.part("postgres").kill()
        assert_refused_soon(place)
        place.start_again("postgres")
        assert_recovers(place)


def test_a_database_that_is_cut_off_ends_nobodys_lease(place: Place) -> None:
    """No packet passes for OUTAGE_SECONDS, longer than a lease. Expected: 503 soon, the running batch goes on and keeps
    attempt 1. Limit: 15 s afterwards."""
    with measuring(place, "cut-off"):
        for link in place.links("postgres"):
            link.blackhole()
        until = time.monotonic() + OUTAGE_SECONDS
        asked = 0
        while time.monotonic() < until:
            assert_refused_soon(place)
            asked += 1
        assert asked > 3
        for link in place.links("postgres"):
            link.heal()
        assert_recovers(place)


def test_a_slow_database_is_as_good_as_none(place: Place) -> None:
    """Each statement takes 2 s more. Limit: 15 s afterwards."""
    place.link("api-1", "postgres").delay(2.0)
    for _ in range(3):
        assert_refused_soon(place)
    place.link("api-1", "postgres").heal()
    assert_recovers(place)


def test_when_all_connections_are_taken_the_next_request_is_refused(place: Place) -> None:
    """The only connection of an API waits for a lock. Expected: 503 soon for the next request, and nothing stays
    taken. Limit: 15 s afterwards."""
    api = place.add_api(shared=False, COREPOINT_DATABASE__POOL_SIZE="1", COREPOINT_DATABASE__MAX_OVERFLOW="0")
    server = place.address(api)
    assert ask(place, server)[0].is_success
    with place.locked("dataset"):
        waiting = threading.Thread(target=ask, args=(place, server))
        waiting.start()
        time.sleep(1.0)
        assert_refused_soon(place, server)
    waiting.join(STATEMENT_SECONDS)
    assert_recovers(place, server)


def test_a_transaction_whose_owner_hangs_lets_go_of_its_rows(place: Place) -> None:
    """An API is cut off in the middle of a transaction. Expected: PostgreSQL ends it after 20 s, whoever waits for its
    rows goes on. Limit: 40 s."""
    api = place.add_api(shared=False)
    link = place.link(api, "postgres")
    assert ask(place, place.address(api))[0].is_success

    def idle() -> bool:
        rows = place.sql("SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = 'corepoint'")
        return bool(rows)

    link.delay(0.5)
    specification = experiment("hanging")
    asking = threading.Thread(target=place.post, args=("/v1/experiments", specification),
                              kwargs={"server": place.address(api)})  # fmt: skip
    asking.start()
    place.wait(idle, 20, "a transaction")
    link.blackhole()
    place.wait(lambda: not idle(), 40, "the transaction to be ended")
    asking.join(60)
    link.heal()
    assert place.ended(place.submitted(specification), 60) == "succeeded"

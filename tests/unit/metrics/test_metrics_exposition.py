"""What is scraped: bounded series, zeros where idle, nothing where unknown."""

from __future__ import annotations

from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from app.contracts.states import QueueName, RunState
from app.db.models import WorkKind
from app.metrics import catalogue
from app.metrics.exposition import exposition
from app.metrics.readings import QueueReading, Readings, WorkReading
from app.settings import QueueSettings

QUEUES = {
    QueueName.DEFAULT: QueueSettings(memory_bytes=1, threads=1),
    QueueName.SPARK: QueueSettings(memory_bytes=1, threads=1, worker_limit=8),
}
READINGS = Readings(
    at=datetime(2026, 1, 1, tzinfo=UTC),
    queues={
        QueueName.DEFAULT: QueueReading(waiting=3, running=2, oldest_wait_seconds=12.5),
        QueueName.SPARK: QueueReading(waiting=8, running=1, oldest_wait_seconds=1.0),
    },
    work={kind: WorkReading(due=1, oldest_seconds=2.0, postponed=1) for kind in WorkKind},
    runs={RunState.RUNNING: 4},
)


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """By name and values of labels."""
    families = text_string_to_metric_families(text.decode())
    return {(sample.name, *sample.labels.values()): sample.value for one in families for sample in one.samples}


def test_every_gauge_of_the_catalogue_is_there_with_its_labels() -> None:
    families = list(text_string_to_metric_families(exposition(READINGS, {"default": 1}, QUEUES).decode()))
    found = {one.name: (tuple(one.samples[0].labels), one.documentation) for one in families}
    assert found == {gauge.name: (gauge.labels, gauge.meaning) for gauge in catalogue.GAUGES}


def test_workers_wanted_are_what_the_demand_keeps_busy() -> None:
    found = samples(exposition(READINGS, None, QUEUES))
    assert found["corepoint_queue_demand", "default"] == 5
    assert found["corepoint_queue_workers_wanted", "default"] == 5
    assert (found["corepoint_queue_demand", "spark"], found["corepoint_queue_workers_wanted", "spark"]) == (9, 2)


def test_workers_that_nobody_counted_have_no_series() -> None:
    names = {key[0] for key in samples(exposition(READINGS, None, QUEUES))}
    assert "corepoint_queue_workers_ready" not in names


def test_a_queue_without_a_ready_worker_says_zero() -> None:
    found = samples(exposition(READINGS, {"default": 2}, QUEUES))
    assert found["corepoint_queue_workers_ready", "default"] == 2
    assert found["corepoint_queue_workers_ready", "spark"] == 0


def test_an_unreadable_database_leaves_no_zeros() -> None:
    found = samples(exposition(None, {"default": 2}, QUEUES))
    assert found[("corepoint_database_readable",)] == 0
    assert {key[0] for key in found} == {"corepoint_database_readable", "corepoint_queue_workers_ready"}

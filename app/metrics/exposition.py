"""The readings in Prometheus' text format."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from app.contracts.states import QueueName
from app.metrics import catalogue
from app.metrics.catalogue import Gauge
from app.metrics.readings import QueueReading, Readings
from app.settings import QueueSettings

Series = Iterable[tuple[tuple[str, ...], float]]


def workers_wanted(reading: QueueReading, queue: QueueSettings | None) -> int:
    return math.ceil(reading.demand / (queue.worker_limit if queue else 1))


def exposition(
    readings: Readings | None, ready: Mapping[str, int] | None, queues: Mapping[QueueName, QueueSettings]
) -> bytes:
    """`readings` None: the database could not be read. `ready` None: nobody can say how many workers are."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(list(_families(readings, ready, queues))))
    return generate_latest(registry)


class _Once(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(
    readings: Readings | None, ready: Mapping[str, int] | None, queues: Mapping[QueueName, QueueSettings]
) -> Iterator[Metric]:
    yield _family(catalogue.DATABASE_READABLE, [((), float(readings is not None))])
    if ready is not None:
        names = sorted({*map(str, queues), *ready})
        yield _family(catalogue.WORKERS_READY, [((name,), ready.get(name, 0)) for name in names])
    if readings is None:
        return
    by_queue = [((str(name),), reading) for name, reading in readings.queues.items()]
    yield _family(catalogue.DEMAND, [(labels, reading.demand) for labels, reading in by_queue])
    yield _family(catalogue.WAITING, [(labels, reading.waiting) for labels, reading in by_queue])
    yield _family(catalogue.RUNNING, [(labels, reading.running) for labels, reading in by_queue])
    yield _family(catalogue.OLDEST_WAIT, [(labels, reading.oldest_wait_seconds) for labels, reading in by_queue])
    yield _family(
        catalogue.WORKERS_WANTED,
        [((str(name),), workers_wanted(reading, queues.get(name))) for name, reading in readings.queues.items()],
    )
    by_kind = [((str(kind),), work) for kind, work in readings.work.items()]
    yield _family(catalogue.WORK_DUE, [(labels, work.due) for labels, work in by_kind])
    yield _family(catalogue.WORK_OLDEST, [(labels, work.oldest_seconds) for labels, work in by_kind])
    yield _family(catalogue.WORK_POSTPONED, [(labels, work.postponed) for labels, work in by_kind])
    yield _family(catalogue.RUNS_OPEN, [((str(state),), number) for state, number in readings.runs.items()])


def _family(gauge: Gauge, series: Series) -> Metric:
    family = GaugeMetricFamily(gauge.name, gauge.meaning, labels=gauge.labels)
    for labels, value in series:
        family.add_metric(labels, value)
    return family

"""Which queue holds a trial, and why, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from app.contracts.algorithm import Capabilities
from app.contracts.failures import FailureCode
from app.contracts.states import QueueName
from app.domain.planned import QueueCapacity

_GIB = 2**30
_MIB = 2**20
_Queues = Mapping[QueueName, QueueCapacity]


class Pace(Enum):
    """How soon a run is wanted."""

    USUAL = auto()
    URGENT = auto()  # on `priority` whatever fits `default`
    PREVIEW = auto()  # on `priority` all of it


@dataclass(frozen=True)
class Route:
    """`queue` None: refused, for the reason `refusal`."""

    queue: QueueName | None
    sentence: str
    refusal: FailureCode | None = None


def choose_queue(  # noqa: PLR0917 - all of what a route depends on
    predicted_bytes: int,
    capabilities: Capabilities,
    colocate: bool,
    override: QueueName | None,
    queues: Sequence[QueueCapacity],
    pace: Pace = Pace.USUAL,
) -> Route:
    """The queue for a sample of `predicted_bytes`; with `colocate`, of the largest sample of the batch.

    More bytes never lead back to a smaller queue. `priority` is reached by `override` and by `pace` alone.
    """
    by_name = {queue.name: queue for queue in queues}
    if pace is Pace.PREVIEW:
        return _previewed(predicted_bytes, capabilities, by_name)
    route = _unhurried(predicted_bytes, capabilities, colocate, override, by_name)
    if pace is Pace.URGENT and route.queue is not None:
        return _hastened(route, predicted_bytes, capabilities, by_name)
    return route


def _previewed(predicted_bytes: int, capabilities: Capabilities, by_name: _Queues) -> Route:
    route = _prioritized(predicted_bytes, "a preview runs on priority", by_name)
    if route.queue is None or not capabilities.distributed:
        return route
    return replace(route, sentence=f"{route.sentence}; with Spark inside the worker, skipped where that has no Java")


def _hastened(route: Route, predicted_bytes: int, capabilities: Capabilities, by_name: _Queues) -> Route:
    priority = by_name.get(QueueName.PRIORITY)
    if priority is None:
        why = "priority is not configured here"
    elif capabilities.distributed:
        why = "priority does not run Spark"
    elif route.queue is not QueueName.DEFAULT or predicted_bytes > priority.memory_bytes:
        why = "it does not fit priority"
    else:
        return Route(QueueName.PRIORITY, f"urgent; {route.sentence}")
    return replace(route, sentence=f"{route.sentence}; urgent, but {why}")


def _unhurried(
    predicted_bytes: int, capabilities: Capabilities, colocate: bool, override: QueueName | None, by_name: _Queues
) -> Route:
    if override is QueueName.SPARK and not capabilities.distributed:
        sentence = "the experiment asks for spark, but that queue runs distributed algorithms only"
        return Route(None, sentence, FailureCode.NOT_SUPPORTED)
    if override is QueueName.PRIORITY:
        return _prioritized(predicted_bytes, f"the experiment asks for {override}", by_name)
    if override is not None:
        return _overridden(predicted_bytes, override, by_name)
    if capabilities.distributed and not colocate:
        if QueueName.SPARK not in by_name:
            return Route(None, "needs the queue spark, which is not configured here", FailureCode.NOT_AVAILABLE)
        return Route(QueueName.SPARK, "runs on Spark")
    route = _by_memory(
        predicted_bytes, [by_name[n] for n in (QueueName.DEFAULT, QueueName.HIGH_MEMORY) if n in by_name]
    )
    return Route(route.queue, f"colocated, the largest {route.sentence}", route.refusal) if colocate else route


def _prioritized(predicted_bytes: int, why: str, by_name: _Queues) -> Route:
    queue, default = by_name.get(QueueName.PRIORITY), by_name.get(QueueName.DEFAULT)
    if queue is None:
        return Route(None, f"{why}, which is not configured here", FailureCode.NOT_AVAILABLE)
    # Work that would not fit `default` would hold up the previews that `priority` is for.
    limit = default if default is not None and default.memory_bytes < queue.memory_bytes else queue
    return _bounded(predicted_bytes, queue.name, limit, why)


def _overridden(predicted_bytes: int, name: QueueName, by_name: _Queues) -> Route:
    why, queue = f"the experiment asks for {name}", by_name.get(name)
    if queue is None:
        return Route(None, f"{why}, which is not configured here", FailureCode.NOT_AVAILABLE)
    return _bounded(predicted_bytes, name, queue, why)


def _bounded(predicted_bytes: int, name: QueueName, limit: QueueCapacity, why: str) -> Route:
    if predicted_bytes > limit.memory_bytes:
        sentence = f"{why}, but estimated {_compared(predicted_bytes, '>', limit)}"
        return Route(None, sentence, FailureCode.TOO_LARGE)
    return Route(name, f"{why}; estimated {_compared(predicted_bytes, '≤', limit)}")


def _by_memory(predicted_bytes: int, candidates: Sequence[QueueCapacity]) -> Route:
    if not candidates:
        return Route(None, "neither default nor high-memory is configured here", FailureCode.NOT_AVAILABLE)
    first = candidates[0]
    if predicted_bytes <= first.memory_bytes:
        return Route(first.name, f"estimated {_compared(predicted_bytes, '≤', first)}")
    for queue in candidates[1:]:
        if predicted_bytes <= queue.memory_bytes:
            held = f"fits {queue.name} ({_size(queue.memory_bytes)})"
            return Route(queue.name, f"estimated {_compared(predicted_bytes, '>', first)}, {held}")
    largest = max(candidates, key=lambda queue: queue.memory_bytes)
    sentence = f"estimated {_compared(predicted_bytes, '>', largest)}, the largest queue"
    return Route(None, sentence, FailureCode.TOO_LARGE)


def _compared(predicted_bytes: int, sign: str, queue: QueueCapacity) -> str:
    digits = 1
    # `6.0 GiB > 6.0 GiB` explains nothing: show as many digits as tell the two apart.
    while sign == ">" and digits < 9 and _size(predicted_bytes, digits) == _size(queue.memory_bytes, digits):
        digits += 1
    return f"{_size(predicted_bytes, digits)} {sign} {_size(queue.memory_bytes, digits)} of {queue.name}"


def _size(value: int, digits: int = 1) -> str:
    return f"{value / _GIB:.{digits}f} GiB" if value >= _GIB else f"{value / _MIB:.{digits - 1}f} MiB"

"""Whether something that went wrong is tried again, and where."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from app.contracts.failures import FailureCode
from app.contracts.states import QueueName

MAX_ATTEMPTS: Final = 5
"""Starts of one batch in all. A batch that takes its worker down five times would take down the sixth."""

_FIRST_DELAY_SECONDS: Final = 2.0
_LONGEST_DELAY_SECONDS: Final = 60.0

# The spark queue is not among them: its executors grow by settings, and a larger driver does not help.
_LARGER: Final = {QueueName.DEFAULT: QueueName.HIGH_MEMORY, QueueName.PRIORITY: QueueName.HIGH_MEMORY}

_MEMORY: Final = {
    FailureCode.MEMOUT: "exceeded the memory of",
    FailureCode.OOM_KILLED: "was killed by the kernel at the memory limit of",
}
"""What more memory may cure: our watchdog saw it, or the kernel was sooner."""


@dataclass(frozen=True)
class Retry:
    """Try again on `queue`, not sooner than `delay_seconds` from now."""

    queue: QueueName
    delay_seconds: float
    reason: str


def after_lost(attempt: int, queue: QueueName, uncounted: int = 0, attempts: int = MAX_ATTEMPTS) -> Retry | None:
    """After attempt number `attempt` (from 1) vanished, whatever took it. None: all `attempts` are used up.

    `uncounted`: how many of the attempts say nothing against the batch as it is now: its worker drained, or one of
    its trials was found to be the cause and moved away.
    """
    counted = attempt - uncounted
    if counted >= attempts:
        return None
    delay = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2 ** max(0, counted - 1))
    return Retry(queue, delay, f"worker lost in attempt {attempt}, {attempts - counted} left")


def after_failure(
    code: FailureCode,
    queue: QueueName,
    limit_is_users: bool,
    queues: Collection[QueueName] = tuple(QueueName),
    *,
    below_queue: bool = False,
) -> Retry | None:
    """After a trial ended with `code` on `queue`; `queues` are those that exist here. None: the failure is final.

    `below_queue`: it had a pod of its own, made for its estimate, with less memory than the queue has. It gets all
    of that first.

    Only memory is worth a second try, on a larger queue: everything else is a property of the trial, and a limit
    that the user set is what he wanted to know about. The larger queue has none above it, so this happens once.
    """
    what = _MEMORY.get(code)
    if what is None or limit_is_users:
        return None
    if below_queue:
        return Retry(queue, 0.0, f"{what} its own pod, tried once with all that {queue} has")
    larger = _LARGER.get(queue)
    if larger is None or larger not in queues:
        return None
    return Retry(larger, 0.0, f"{what} {queue}, tried once on {larger}")

"""How a sample that went wrong becomes a typed failure with its numbers."""

from __future__ import annotations

import os
import signal
from typing import Any

from pydantic import ByteSize

from app.contracts.failures import Failure, FailureCode
from workers.measure import cgroup, text
from workers.measure.nursery import Child
from workers.measure.phases import Reached
from workers.measure.watchdog import Breach, Death

FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM)


def is_worth_repeating(ended: Breach | Death, failure: Failure | None) -> bool:
    """After SIGKILL or SIGTERM that we did not send, or the nursery's death.

    Not after the kernel's OOM killer: it would come again, and might take the whole pod.
    """
    if isinstance(ended, Breach) or (failure is not None and failure.code is FailureCode.OOM_KILLED):
        return False
    return ended.exited is None or _signal(ended.exited.status) in FROM_OUTSIDE


def _signal(status: int) -> int | None:
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None


def breach_failure(breach: Breach, reached: Reached, *, limit_is_users: bool) -> Failure:
    if breach.code is FailureCode.TIMEOUT:
        return Failure.of(
            FailureCode.TIMEOUT,
            f"the sample took longer than {breach.limit:g} s; it was in the phase {reached.phase}",
            limit_seconds=breach.limit,
            measured_seconds=round(breach.measured, 3),
            phase=reached.phase,
        )
    limit, measured = int(breach.limit), int(breach.measured)
    whose = "the user's" if limit_is_users else "the queue's"
    return Failure.of(
        FailureCode.MEMOUT,
        f"the sample held {_readable(measured)}, more than {whose} limit of {_readable(limit)}, "
        f"in the phase {reached.phase}",
        phase=reached.phase,
        **memory_numbers(limit, measured, limit_is_users=limit_is_users),
    )


def memory_numbers(limit: int, measured: int, *, limit_is_users: bool) -> dict[str, Any]:
    return {"limit_bytes": limit, "measured_bytes": measured, "limit_is_users": limit_is_users}


def _readable(size: int) -> str:
    return ByteSize(size).human_readable()


def death_failure(death: Death, child: Child, reached: Reached, *, oom_kills: int) -> Failure:
    detail: dict[str, Any] = {"phase": reached.phase, "log_tail": text.tail(child.log_file)}
    if oom_kills:
        limit = cgroup.read_limits().memory_bytes
        its = f"its memory limit of {_readable(limit)}" if limit is not None else "its memory limit"
        message = f"the kernel killed a process of the sample in the phase {reached.phase}: the pod was at {its}"
        return Failure.of(FailureCode.OOM_KILLED, message, oom_kills=oom_kills, limit_bytes=limit, **detail)
    if death.exited is None:
        return Failure.of(FailureCode.KILLED, "the fork server was ended from outside, its children with it", **detail)
    number = _signal(death.exited.status)
    detail["max_rss_bytes"] = death.exited.max_rss_bytes
    if number is None:
        code = os.waitstatus_to_exitcode(death.exited.status)
        return Failure.of(
            FailureCode.CRASH, f"the child exited with code {code} and no result", exit_code=code, **detail
        )
    name = signal.Signals(number).name if number in signal.valid_signals() else f"signal {number}"
    detail["signal"] = name
    if number in FROM_OUTSIDE:
        message = f"{name} from something outside corepoint ended the child in the phase {reached.phase}"
        return Failure.of(FailureCode.KILLED, message, **detail)
    return Failure.of(FailureCode.CRASH, f"{name} ended the child in the phase {reached.phase}", **detail)

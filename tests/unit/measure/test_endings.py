"""How a sample's process ended decides its reason, and whether the sample is worth a second try."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.contracts.failures import FailureCode
from app.contracts.measurement import Phases
from workers.measure.endings import death_failure, is_worth_repeating
from workers.measure.messages import Exited
from workers.measure.nursery import Child
from workers.measure.phases import Reached
from workers.measure.watchdog import Breach, Death


def exited(status: int) -> Exited:
    return Exited(pid=7, status=status, user_seconds=1.0, system_seconds=0.1, max_rss_bytes=1 << 30)


KILLED = Death(exited(signal.SIGKILL))
SEGFAULT = Death(exited(signal.SIGSEGV))
REACHED = Reached("fit", Phases())


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Child(pid=7, channel=ours, folder=tmp_path)


@pytest.mark.parametrize(
    ("death", "oom_kills", "code", "worth"),
    [
        (KILLED, 0, FailureCode.KILLED, True),
        (KILLED, 1, FailureCode.OOM_KILLED, False),
        (Death(None), 0, FailureCode.KILLED, True),
        (Death(None), 1, FailureCode.OOM_KILLED, False),
        (SEGFAULT, 0, FailureCode.CRASH, False),
    ],
)
def test_what_the_kernel_killed_for_its_memory_is_told_apart_and_not_repeated(
    child: Child, death: Death, oom_kills: int, code: FailureCode, worth: bool
) -> None:
    failure = death_failure(death, child, REACHED, oom_kills=oom_kills)
    assert failure.code is code
    assert "fit" in failure.message or death.exited is None
    assert is_worth_repeating(death, failure) is worth


def test_what_we_ended_ourselves_is_not_repeated() -> None:
    assert not is_worth_repeating(Breach(FailureCode.TIMEOUT, 1.0, 2.0), None)

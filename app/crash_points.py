"""Points at which a process can be made to die as if the kernel had ended it, for tests of what the others do then.

A process that is started with COREPOINT_CRASH_AT=<point> sends itself SIGKILL when it comes there. See tests/faults.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from typing import Final


class CrashPoint(StrEnum):
    API_COMMITTED = "api-committed"  # a request's transaction is committed, its answer not sent
    FLOW_RUN_CREATED = "flow-run-created"  # Prefect has a batch's flow run, our row does not say so
    WORKER_PENDING = "worker-pending"  # a worker has taken a flow run and not started it
    ARTIFACTS_PUBLISHED = "artifacts-published"  # labels and rounds of a trial are stored, its manifest is not
    MANIFEST_PUBLISHED = "manifest-published"  # all manifests of a batch are stored, its outcome is not
    OUTCOME_PUBLISHED = "outcome-published"  # manifests and outcome are stored, nobody was told


# Read once: nothing that happens to a running process can arm it.
_ARMED: Final = CrashPoint(os.environ["COREPOINT_CRASH_AT"]) if "COREPOINT_CRASH_AT" in os.environ else None


def reached(point: CrashPoint) -> None:
    """Ends this process here if it was started for that."""
    if point is _ARMED:
        os.write(2, f"crash point {point} reached\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)

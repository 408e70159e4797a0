"""Runs a program and ends it, with everything it started, when whoever started us is gone.

`python -m app.embedded.guard COMMAND…`: the parent holds our standard input open; end of file means it died, however
it died. A parent-death signal would not do: it is lost at exec of set-uid programs and does not reach grandchildren.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 12.0
LOOK_SECONDS = 0.5


def main(command: list[str]) -> int:
    """The program's exit status, or 128 + signal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is the parent's to handle
    stop = [False]
    signal.signal(signal.SIGTERM, lambda _signal, _frame: stop.__setitem__(0, True))
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    while child.poll() is None:
        if stop[0] or _parent_is_gone():
            _end(child)
            break
    status = child.wait()
    return status if status >= 0 else 128 - status


def _parent_is_gone() -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], LOOK_SECONDS)
    return bool(readable) and not os.read(sys.stdin.fileno(), 1)


def _end(child: subprocess.Popen[bytes]) -> None:
    _signal_group(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal_group(child.pid, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The program of a child: open the adapter, answer fit requests until the parent closes the channel, close."""

from __future__ import annotations

import faulthandler
import importlib
import os
import resource
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from workers.algorithms.adapter import Adapter, Resources
from workers.measure.messages import (
    LOG_FILE,
    STATUS_FILE,
    ChildMessage,
    FitReply,
    FitRequest,
    ForkRequest,
    Go,
    receive,
    send,
)
from workers.measure.phases import PhaseClock
from workers.measure.reply import failure, sample
from workers.measure.threads import limit_threads


def main(request: ForkRequest, channel: socket.socket) -> None:
    """Runs in a freshly forked process. Whatever an adapter raises becomes a failure in a reply."""
    folder = Path(request.folder)
    _settle(folder)
    clock = PhaseClock(folder / STATUS_FILE)
    resources = Resources(request.threads, request.memory_limit_bytes, folder)
    try:
        limiter = limit_threads(request.threads)
        adapter = _adapter(request)
        adapter.open(resources)
    except Exception as error:
        send(channel, ChildMessage(kind="ready", reply=FitReply(failure=failure(error, clock))))
        return
    clock.note("start", time.monotonic() - request.requested_at)
    send(channel, ChildMessage(kind="ready"))
    try:
        _serve(channel, adapter, resources, clock)
    finally:
        adapter.close()
        clock.close()
        del limiter


def _settle(folder: Path) -> None:
    log = os.open(folder / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout = open(1, "w", buffering=1, closefd=False, errors="replace")  # noqa: SIM115 - for the process's life
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="replace")  # noqa: SIM115
    os.chdir(folder)
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # if memory runs out, the kernel must choose this process and not the one that reports it


def _adapter(request: ForkRequest) -> Adapter[Any]:
    if request.import_path is None:
        from workers.algorithms import registry

        return registry.get(request.algorithm)
    module, _, name = request.import_path.partition(":")
    adapter = getattr(importlib.import_module(module), name)()
    assert isinstance(adapter, Adapter)  # noqa: S101 - the parent took the path from an adapter
    return adapter


def _serve(channel: socket.socket, adapter: Adapter[Any], resources: Resources, clock: PhaseClock) -> None:
    from workers.measure.fitting import Fitter

    def wait_for_go() -> None:
        send(channel, ChildMessage(kind="measuring"))
        if receive(channel, Go) is None:
            raise SystemExit(0)

    def fitted() -> None:
        send(channel, ChildMessage(kind="fitted"))

    fitter = Fitter(adapter, resources, clock)
    while (request := receive(channel, FitRequest)) is not None:
        try:
            reply = sample(fitter, request, clock, resources.scratch, wait_for_go, fitted)
        except Exception as error:
            reply = FitReply(phases=clock.phases, failure=failure(error, clock))
        send(channel, ChildMessage(kind="result", reply=reply))
        clock.next_sample()

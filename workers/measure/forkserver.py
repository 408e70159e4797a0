"""The nursery: a small process with one thread that has the libraries imported and forks a child per request.

Not multiprocessing's fork server: that one imports the parent's `__main__` (Prefect's engine) into every child. Started
by `workers.measure.nursery` as `python -m workers.measure.forkserver FD PARENT_PID`. It also forks further nurseries,
which is how a worker has one ready for each flow run: see `workers.measure.nurseries`.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from workers.measure import child, parentage, processes
from workers.measure.messages import (
    MAX_PACKET,
    Exited,
    Forked,
    ForkRequest,
    NurseryMessage,
    NurseryReady,
    NurseryRequest,
    send,
)

PRELOAD = (
    "numpy",
    "scipy.sparse",
    "scipy.spatial",
    "sklearn.cluster",
    "sklearn.neighbors",
    "sklearn.metrics",
    "threadpoolctl",
    "pyarrow.parquet",
    "workers.evaluate.canonical",
    "workers.evaluate.fingerprint",
    "workers.evaluate.quality",
    "workers.evaluate.validate",
    "workers.measure.fitting",
    "workers.measure.scoring",
)
"""What children would import anyway. None of these may start a thread: threads do not survive a fork, locks do."""


def preload() -> None:
    for name in PRELOAD:
        with suppress(ImportError):  # the adapter that needs it says so by `missing`
            importlib.import_module(name)
    from workers.algorithms import registry

    registry.catalogue()
    # Collections in a child would else write to, and so copy, every page that holds an object of ours.
    gc.collect()
    gc.freeze()


class ForkServer:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: set[int] = set()
        self._nurseries: set[int] = set()  # of the children, those that nobody waits for
        self._wake_up, self._wake = os.pipe()
        os.set_blocking(self._wake_up, False)
        os.set_blocking(self._wake, False)

    def serve(self) -> None:
        """Until the parent's end closes or SIGTERM; then nothing that was started here is left."""
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        try:
            self._say(NurseryReady(pid=os.getpid(), threads=len(os.listdir("/proc/self/task"))))
            while True:
                readable, _, _ = select.select([self._control.fileno(), self._wake_up], [], [])
                if self._wake_up in readable:
                    with suppress(BlockingIOError):
                        os.read(self._wake_up, 4096)
                    self._reap()
                if self._control.fileno() in readable and not self._fork_one():
                    return
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            for pid in list(self._children):
                processes.kill_session(pid)
            for pid in processes.descendants(os.getpid()):
                processes.kill_session(pid)

    def _say(self, said: NurseryReady | Forked | Exited) -> None:
        send(self._control, NurseryMessage(said=said))

    def _fork_one(self) -> bool:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, MAX_PACKET, 1)
        except ConnectionError:  # closed with something unread
            return False
        if not packet:
            return False
        asked = NurseryRequest.model_validate_json(packet).asked
        channel = socket.socket(fileno=descriptors[0])
        channel.set_inheritable(False)
        if isinstance(asked, ForkRequest):
            pid = self._fork(lambda: child.main(asked, channel), signal.SIGKILL)
            self._say(Forked(pid=pid))
        else:
            # SIGTERM: it ends its children first. Usually it ends with its channel, long before us.
            pid = self._fork(lambda: _nest(channel), signal.SIGTERM)
            self._nurseries.add(pid)
        channel.close()
        return True

    def _fork(self, program: Callable[[], None], dies_by: signal.Signals) -> int:
        """A child that runs `program` and dies with us. It never returns into our loop, whatever happens in it."""
        nursery = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(program, nursery, dies_by)
        self._children.add(pid)
        return pid

    def _become(self, program: Callable[[], None], nursery: int, dies_by: signal.Signals) -> NoReturn:
        status = 1
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            parentage.die_with(nursery, dies_by)
            for descriptor in (self._wake, self._wake_up):
                os.close(descriptor)
            self._control.close()
            program()
            status = 0
        except SystemExit as asked:
            status = asked.code if isinstance(asked.code, int) else 1
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status & 0xFF)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._children:
                # First what the child left behind, so that the parent may start the next sample on a quiet machine.
                processes.kill_session(pid)
                self._children.discard(pid)
                self._end_strays()
                if pid in self._nurseries:
                    self._nurseries.discard(pid)
                    continue
                self._say(
                    Exited(
                        pid=pid,
                        status=status,
                        user_seconds=usage.ru_utime,
                        system_seconds=usage.ru_stime,
                        max_rss_bytes=usage.ru_maxrss * 1024,
                    )
                )

    def _end_strays(self) -> None:
        """Orphans of dead children that left their session (daemons) hang below us now."""
        for pid in processes.children(os.getpid()):
            if pid not in self._children and processes.session(pid) not in self._children:
                processes.kill_session(pid)


def _nest(channel: socket.socket) -> None:
    parentage.adopt_orphans()
    with suppress(BrokenPipeError):
        ForkServer(channel).serve()


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def main(descriptor: int, parent: int) -> None:
    parentage.die_with(parent, signal.SIGTERM)
    parentage.adopt_orphans()
    preload()
    with socket.socket(fileno=descriptor) as control, suppress(BrokenPipeError):
        control.set_inheritable(False)
        ForkServer(control).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

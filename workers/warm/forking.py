"""The loop of the spare interpreter: fork a process for each flow run, tell the worker how it ended."""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import suppress

from workers.measure import parentage
from workers.measure.messages import receive, send
from workers.measure.nurseries import Nurseries
from workers.warm.messages import Ended, Order, Ready, SpareMessage, Started

NURSERY_VARIABLE = "COREPOINT_NURSERY_DESCRIPTOR"  # WorkerSettings.nursery_descriptor of the flow runs


class Forker:
    def __init__(self, control: socket.socket, nurseries: Nurseries) -> None:
        self._control = control
        self._nurseries = nurseries
        self._runs: set[int] = set()
        self._wake_up, self._wake = os.pipe()
        os.set_blocking(self._wake_up, False)
        os.set_blocking(self._wake, False)

    def serve(self) -> Order | None:
        """Returns in every forked process, with its order, and here with None once the worker is gone."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._say(Ready(threads=len(os.listdir("/proc/self/task"))))
        while True:
            readable, _, _ = select.select([self._control.fileno(), self._wake_up], [], [])
            if self._wake_up in readable:
                with suppress(BlockingIOError):
                    os.read(self._wake_up, 4096)
                self._reap()
            if self._control.fileno() in readable:
                order = receive(self._control, Order)
                if order is None or self._fork(order):
                    return order

    def _fork(self, order: Order) -> bool:
        """Whether this is the new process."""
        nursery, spare = self._nurseries.fork(), os.getpid()
        pid = os.fork()
        if pid == 0:
            self._settle(spare, nursery)
            return True
        if nursery is not None:
            nursery.close()
        self._runs.add(pid)
        self._say(Started(flow_run_id=order.flow_run_id, pid=pid))
        return False

    def _settle(self, spare: int, nursery: socket.socket | None) -> None:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        # By SIGTERM, which gives the batch back. An orphan would measure beside those of the next worker.
        parentage.die_with(spare, signal.SIGTERM)
        for descriptor in (self._wake, self._wake_up):
            os.close(descriptor)
        self._control.close()
        self._nurseries.forget()
        if nursery is not None:
            os.environ[NURSERY_VARIABLE] = str(nursery.detach())

    def _reap(self) -> None:
        for pid in list(self._runs):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._runs.discard(pid)
                self._say(Ended(pid=pid, returncode=os.waitstatus_to_exitcode(status)))
        if not self._runs:
            self._nurseries.start()

    def _say(self, said: Ready | Started | Ended) -> None:
        send(self._control, SpareMessage(said=said))

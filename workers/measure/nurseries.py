"""A nursery that forks nurseries, kept by those who will need one soon: its libraries are imported once, in time."""

from __future__ import annotations

import socket
import subprocess

from workers.measure.messages import NestRequest, NurseryRequest
from workers.measure.nursery import CLOSE_SECONDS, start_fork_server


class Nurseries:
    """Dies with the thread that starts it, and with it every nursery that it forked. Not safe for threads."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Begin to start it if it does not run. Importing takes seconds of CPU: not while something is measured."""
        if self._process is not None and self._process.poll() is not None:
            self.forget()
        if self._process is None:
            self._process, self._control = start_fork_server()
            self._control.setblocking(False)

    def fork(self) -> socket.socket | None:
        """The control channel of a new nursery, which ends with it; for `Nursery(given=…)`. None if there is none.

        Does not wait: it may still import, or hang, which whoever uses the channel will see.
        """
        if self._control is None:
            return None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                asked = NurseryRequest(asked=NestRequest()).model_dump_json().encode()
                socket.send_fds(self._control, [asked], [theirs.fileno()])
            except OSError:
                ours.close()
                return None
        return ours

    def close(self) -> None:
        """End it, and every nursery that it forked."""
        process = self._process
        self.forget()
        if process is not None:
            try:
                process.wait(CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def forget(self) -> None:
        """Let go of it without ending it, as a forked process has to."""
        if self._control is not None:
            self._control.close()
        self._process, self._control = None, None

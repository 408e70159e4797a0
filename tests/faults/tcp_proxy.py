"""A TCP proxy of ours between two parts, which can misbehave as a network does."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

CHUNK_BYTES = 1 << 16
CALL_SECONDS = 10.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends a reset


class TcpProxy:
    """Passes on what comes to `port` to the first target that accepts; several targets are taken in turn.

    Every fault holds until the next one, or until `heal`. Methods may be called from any thread.
    """

    def __init__(self, *targets: int) -> None:
        """`targets`: ports of this machine."""
        self._targets = list(targets)
        self._turn = 0
        self._loop = _loop()
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._open = asyncio.Event()
        self._delay_seconds = 0.0
        self._bytes_per_second = float("inf")
        self._reset_after = float("inf")
        self._listener = _bound(0)
        self.port = int(self._listener.getsockname()[1])
        self._server: asyncio.Server | None = None
        self.heal()

    def add(self, target: int) -> None:
        self._targets.append(target)

    def heal(self) -> None:
        """Pass everything on. What a black hole held back arrives now, as repeated packets would."""
        self._call(self._set)

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._call(self._cut)

    def blackhole(self) -> None:
        """Take connections and bytes, and say nothing."""
        self._call(lambda: self._set(passes=False))

    def delay(self, seconds: float) -> None:
        """Everything a client says arrives so much later: a question and its answer take `seconds` more."""
        self._call(lambda: self._set(delay_seconds=seconds))

    def throttle(self, bytes_per_second: float) -> None:
        """In each direction of each connection."""
        self._call(lambda: self._set(bytes_per_second=bytes_per_second))

    def reset_after(self, count: int) -> None:
        """Every connection is reset once its client has sent `count` bytes from now on."""
        self._call(lambda: self._set(reset_after=count))

    def reset(self) -> None:
        """Reset the connections there are; new ones are as before."""
        self._call(self._abort_all)

    def close(self) -> None:
        self._call(self._cut)
        self._listener.close()

    async def _set(
        self,
        *,
        passes: bool = True,
        delay_seconds: float = 0.0,
        bytes_per_second: float = float("inf"),
        reset_after: float = float("inf"),
    ) -> None:
        self._delay_seconds, self._bytes_per_second, self._reset_after = delay_seconds, bytes_per_second, reset_after
        if passes:
            self._open.set()
        else:
            self._open.clear()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=self._listener, backlog=256)

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            # Bound and not listening: refused, and nobody else is given the port meanwhile.
            self._listener = _bound(self.port)
        await self._abort_all()

    async def _abort_all(self) -> None:
        ended = dict(self._connections)
        for task, writers in ended.items():
            for writer in writers:
                _abort(writer)
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._server is None:  # cut while this connection was on its way
            _abort(writer)
            return
        self._connections[task] = writers = [writer]
        try:
            await self._open.wait()
            target = await self._connect()
            if target is None:
                _abort(writer)
                return
            writers.append(target[1])
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, target[1], from_client=True))
                pumps.create_task(self._pump(target[0], writer, from_client=False))
        except (asyncio.CancelledError, ExceptionGroup, OSError):
            for one in writers:
                _abort(one)
        finally:
            del self._connections[task]
            for one in writers:
                one.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self._targets:
            self._turn = (self._turn + 1) % len(self._targets)
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self._targets[self._turn])
        return None

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_client: bool) -> None:
        sent = 0
        while data := await reader.read(CHUNK_BYTES):
            await self._open.wait()
            if from_client and self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
                await self._open.wait()
            sent += len(data)
            if from_client and sent > self._reset_after:
                raise ConnectionResetError
            await self._write(writer, data)
        if writer.can_write_eof():
            writer.write_eof()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        while data:
            rate = self._bytes_per_second
            size = len(data) if rate == float("inf") else max(1, int(rate / 10))
            piece, data = data[:size], data[size:]
            await asyncio.sleep(len(piece) / rate)
            writer.write(piece)
            await writer.drain()

    def _call(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(step(), self._loop).result(CALL_SECONDS)


def _abort(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    with suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


_lock = threading.Lock()
_running: list[asyncio.AbstractEventLoop] = []


def _loop() -> asyncio.AbstractEventLoop:
    """One thread serves all proxies of a test run."""
    with _lock:
        if not _running:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="tcp-proxies", daemon=True).start()
            _running.append(loop)
        return _running[0]

"""The proxy itself: each fault is what its name says, and healing ends it. Time limit: 1 s each."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.tcp_proxy import TcpProxy

SHORT = 0.3


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says everything twice."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


@pytest.fixture
def proxy(echo: int) -> Iterator[TcpProxy]:
    proxy = TcpProxy(echo)
    yield proxy
    proxy.close()


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(1 << 16):
                connection.sendall(2 * data)
        except ConnectionError:
            return


def client(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=SHORT)


def said(connection: socket.socket, words: bytes) -> bytes:
    connection.sendall(words)
    return connection.recv(1 << 16)


def test_it_passes_on_both_ways_and_the_end_too(proxy: TcpProxy) -> None:
    with client(proxy) as connection:
        assert said(connection, b"ab") == b"abab"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def test_cut_resets_what_is_open_and_refuses_what_is_new(proxy: TcpProxy) -> None:
    with client(proxy) as connection:
        said(connection, b"ab")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        client(proxy)
    proxy.heal()
    with client(proxy) as connection:
        assert said(connection, b"ab") == b"abab"


def test_a_black_hole_is_silent_and_lets_go_of_what_it_held(proxy: TcpProxy) -> None:
    with client(proxy) as before:
        said(before, b"ab")
        proxy.blackhole()
        with pytest.raises(TimeoutError):
            said(before, b"cd")
        with client(proxy) as during, pytest.raises(TimeoutError):
            said(during, b"ab")
        proxy.heal()
        assert before.recv(4) == b"cdcd"


def test_delay_makes_an_answer_late(proxy: TcpProxy) -> None:
    proxy.delay(0.2)
    with client(proxy) as connection:
        began = time.monotonic()
        assert said(connection, b"ab") == b"abab"
        assert time.monotonic() - began >= 0.2


def test_throttle_bounds_the_rate(proxy: TcpProxy) -> None:
    proxy.throttle(10_000)
    with client(proxy) as connection:
        began, received = time.monotonic(), 0
        connection.sendall(bytes(1_500))
        while received < 3_000:
            received += len(connection.recv(1 << 16))
        assert time.monotonic() - began >= 0.25


def test_reset_ends_a_stream_in_its_middle(proxy: TcpProxy) -> None:
    proxy.reset_after(1_000)
    with client(proxy) as connection:
        assert said(connection, bytes(400))
        with pytest.raises(ConnectionResetError):
            said(connection, bytes(700))
    proxy.heal()
    with client(proxy) as connection:
        assert said(connection, bytes(700))
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            connection.recv(1 << 16)


def test_several_targets_are_taken_in_turn_and_dead_ones_are_passed_over(echo: int) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        proxy = TcpProxy(nobody.getsockname()[1], echo)
        for _ in range(3):
            with client(proxy) as connection:
                assert said(connection, b"ab") == b"abab"
        proxy.close()

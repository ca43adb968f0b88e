"""The proxies themselves: they tell brokers from clients, hold back what is cut, and tear."""

import os
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import pytest

from tests.support.link_proxy import CLIENT, LinkProxies

DIALLER, LISTENER = 1, 0


class Echo:
    """Sends back what it gets, on a port of its own."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:  # closed: the test is over
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    @staticmethod
    def _serve(connection: socket.socket) -> None:
        with connection:
            try:
                while chunk := connection.recv(4096):
                    connection.sendall(chunk)
            except ConnectionError:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()


class Stage:
    """A proxy before an echo, and a connection through it that broker DIALLER seems to own."""

    def __init__(self, *, dialler_pid: int | None) -> None:
        self._echo = Echo()
        self.proxies = LinkProxies(lambda number: dialler_pid if number == DIALLER else None)
        self.proxies.open(DIALLER, self._echo.port)
        self.port = self.proxies.open(LISTENER, self._echo.port)
        self.connection = self.connect()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def exchange(self, data: bytes) -> bytes:
        self.connection.sendall(data)
        return self.receive(len(data))

    def receive(self, count: int) -> bytes:
        received = b""
        while len(received) < count and (chunk := self.connection.recv(count - len(received))):
            received += chunk
        return received

    def is_silent(self) -> bool:
        self.connection.settimeout(0.15)
        try:
            return self.connection.recv(1) == b""
        except TimeoutError:
            return True
        finally:
            self.connection.settimeout(10)

    def close(self) -> None:
        self.connection.close()
        self.proxies.close()
        self._echo.__exit__(None, None, None)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(dialler_pid=os.getpid())
    yield made
    made.close()


def test_bytes_pass_both_ways(stage: Stage) -> None:
    assert stage.exchange(b"hello") == b"hello"


@pytest.mark.parametrize("cut", [(DIALLER, LISTENER), (LISTENER, DIALLER)], ids=["to", "from"])
def test_what_is_cut_is_held_back_until_it_heals(stage: Stage, cut: tuple[int, int]) -> None:
    assert stage.exchange(b"a") == b"a"
    stage.proxies.cut(*cut)
    stage.connection.sendall(b"held")
    assert stage.is_silent()
    stage.proxies.heal()
    assert stage.receive(4) == b"held"


def test_a_new_connection_stays_open_and_silent_while_cut(stage: Stage) -> None:
    stage.proxies.cut_both(DIALLER, LISTENER)
    stage.connection.close()
    stage.connection = stage.connect()
    stage.connection.sendall(b"x")
    assert stage.is_silent()
    stage.proxies.heal()
    assert stage.receive(1) == b"x"


def test_brokers_are_isolated_and_clients_are_not() -> None:
    as_client = Stage(dialler_pid=None)
    try:
        as_client.proxies.isolate(LISTENER)
        assert as_client.exchange(b"still") == b"still"
        as_client.proxies.cut(CLIENT, LISTENER)
        as_client.connection.sendall(b"x")
        assert as_client.is_silent()
    finally:
        as_client.close()


def test_a_torn_connection_is_reset_after_so_many_bytes(stage: Stage) -> None:
    assert stage.exchange(b"12") == b"12"
    assert stage.proxies.tear(LISTENER, after_bytes=3) == 1
    stage.connection.sendall(b"34567")
    with pytest.raises(ConnectionResetError):
        stage.receive(100)
    stage.connection.close()
    stage.connection = stage.connect()
    assert stage.exchange(b"again") == b"again"

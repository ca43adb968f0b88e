"""Listening sockets."""

import errno
import socket

import pytest

from headrace.api.broker_config import Listener
from headrace.api.server.listener import BoundListener, advertised_with_ports, bind_sockets
from tests.support.ipv6 import needs_ipv6


def close_all(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


def test_port_0_is_a_free_one_and_is_what_clients_are_told() -> None:
    listener = Listener("PLAINTEXT", "127.0.0.1", 0)
    bound = BoundListener(listener, backlog=5)
    try:
        assert bound.port > 0
        told = [Listener("PLAINTEXT", "kafka.example", 0)]
        assert advertised_with_ports(told, [bound])[0].address == f"kafka.example:{bound.port}"
        fixed = [Listener("PLAINTEXT", "kafka.example", 19092)]
        assert advertised_with_ports(fixed, [bound]) == fixed
    finally:
        bound.close()


def test_every_address_of_localhost_gets_the_same_port() -> None:
    sockets = bind_sockets(Listener("PLAINTEXT", "localhost", 0))
    try:
        assert len({one.getsockname()[1] for one in sockets}) == 1
    finally:
        close_all(sockets)


def test_taken_port_is_known_before_anything_else() -> None:
    first = bind_sockets(Listener("PLAINTEXT", "127.0.0.1", 0))
    first[0].listen()
    try:
        with pytest.raises(OSError) as caught:
            bind_sockets(Listener("PLAINTEXT", "127.0.0.1", first[0].getsockname()[1]))
        assert caught.value.errno == errno.EADDRINUSE
    finally:
        close_all(first)


def test_foreign_address_is_refused() -> None:
    with pytest.raises(OSError):
        bind_sockets(Listener("PLAINTEXT", "192.0.2.1", 0))


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no-such-host.invalid"])
def test_address_that_cannot_be_had_is_named(host: str) -> None:
    listener = Listener("OUTSIDE", host, 9092)
    with pytest.raises(OSError, match="cannot listen on OUTSIDE://") as caught:
        bind_sockets(listener)
    assert str(listener) in str(caught.value)


@needs_ipv6
def test_every_interface_of_ipv6_is_every_one_of_ipv4_too() -> None:
    (bound,) = bind_sockets(Listener("PLAINTEXT", "::", 0))
    bound.listen()
    with bound, socket.create_connection(("127.0.0.1", bound.getsockname()[1])) as client:
        assert client.getpeername()[0] == "127.0.0.1"

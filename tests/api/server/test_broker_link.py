"""A connection that opens with BrokerLink leaves the event loop, whichever loop it is."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.raft.link_frames import encode_link_frame
from headrace.raft.link_hello import (
    LinkAnswer,
    LinkHello,
    hello_request,
    hello_response,
    split_response,
)
from headrace.raft.link_messages import LinkMessage
from headrace.raft.message_codec import encode_frame
from tests.support.in_process_broker import InProcessBroker
from tests.support.raw_client import RawClient

HELLO = LinkHello(2, 7, 9, cluster_id="c", host="127.0.0.1", port=1)


class FakeRuntime:
    """Takes sockets over and answers, as the Raft thread does."""

    def __init__(self) -> None:
        self.adopted: list[tuple[socket.socket, LinkHello]] = []

    def adopt_link(self, fd: int, hello: LinkHello) -> None:
        sock = socket.socket(fileno=fd)
        sock.setblocking(True)
        self.adopted.append((sock, hello))
        sock.sendall(hello_response(LinkAnswer(hello)))


@pytest.fixture(params=["asyncio", "uvloop"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[InProcessBroker]:
    with InProcessBroker(tmp_path, loop_kind=request.param) as running:
        yield running


def lend_runtime(broker: InProcessBroker) -> FakeRuntime:
    runtime = FakeRuntime()

    def put(value: Any) -> None:
        broker.broker.membership.runtime = value

    broker.call(put, runtime)
    return runtime


def take_back(broker: InProcessBroker) -> None:
    def clear() -> None:
        broker.broker.membership.runtime = None

    broker.call(clear)


def test_socket_leaves_the_loop_and_goes_on_as_a_link(broker: InProcessBroker) -> None:
    runtime = lend_runtime(broker)
    with RawClient(broker.port) as client:
        client.send_bytes(hello_request(HELLO))
        answer = hello_response(LinkAnswer(HELLO))
        assert client.receive_exactly(len(answer)) == answer
        assert split_response(bytearray(answer)) == (LinkAnswer(HELLO), b"")
        sock, hello = runtime.adopted[0]
        assert hello == HELLO
        broker.wait_until(lambda: len(broker.server.table) == 0)
        for payload in (b"one", b"two" * 5000):
            client.send_bytes(payload)
            assert sock.recv(len(payload), socket.MSG_WAITALL) == payload
            sock.sendall(payload)
            assert client.receive_exactly(len(payload)) == payload
        sock.close()
    take_back(broker)


def test_request_in_pieces_is_handed_over_all_the_same(broker: InProcessBroker) -> None:
    runtime = lend_runtime(broker)
    request = hello_request(HELLO)
    with RawClient(broker.port) as client:
        for cut in (3, 9, 40):
            client.send_bytes(request[:cut])
            request = request[cut:]
        client.send_bytes(request)
        client.receive_frame()
        runtime.adopted[0][0].close()
    take_back(broker)


def test_clients_cannot_learn_of_it_and_garbage_is_closed(broker: InProcessBroker) -> None:
    lend_runtime(broker)
    for garbage in (hello_request(HELLO)[:-1] + b"\xc1", hello_request(HELLO)[:29] + bytes(4)):
        frame = (len(garbage) - 4).to_bytes(4, "big") + garbage[4:]
        with RawClient(broker.port) as client:
            client.send_bytes(frame)
            assert client.is_closed_by_peer()
    take_back(broker)


def test_a_broker_alone_takes_part_once_another_one_knocks(broker: InProcessBroker) -> None:
    assert broker.broker.runtime is None
    with RawClient(broker.port) as client:
        client.send_bytes(hello_request(HELLO))
        frame = client.receive_frame()
    answered = split_response(bytearray(len(frame).to_bytes(4, "big") + frame))
    assert answered is not None
    assert answered[0].hello.broker_id == broker.broker.node_id
    assert broker.broker.runtime is not None


def test_no_descriptor_is_left_behind(broker: InProcessBroker) -> None:
    runtime = lend_runtime(broker)

    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for _ in range(20):
        with RawClient(broker.port) as client:
            client.send_bytes(hello_request(HELLO))
            client.receive_frame()
            runtime.adopted.pop()[0].close()
    broker.wait_until(lambda: len(broker.server.table) == 0)
    broker.wait_until(lambda: count() <= before)
    take_back(broker)


def test_a_silent_link_is_given_up_after_as_long_as_the_settings_say(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    silence = {"headrace.link.silence.ms": "350"}
    with (
        InProcessBroker(tmp_path, config=silence) as broker,
        RawClient(broker.port) as client,
        caplog.at_level("INFO", logger="headrace"),
    ):
        hello = replace(HELLO, cluster_id=broker.broker.cluster_id)
        client.send_bytes(hello_request(hello))
        client.receive_frame()
        client.send_bytes(encode_link_frame(encode_frame([("", int(LinkMessage.PING), 0, 0)])))
        broker.wait_until(lambda: "broker 2 is down: silent for 0.35 s" in caplog.text)

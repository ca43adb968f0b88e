"""The answers of other brokers, gathered into frames; the whole way is in test_replication.py."""

import asyncio
from typing import Any, cast

import pytest

from headrace.api.server.peer_client import FIRST_BUFFER_BYTES, PeerClients, _PeerProtocol
from tests.support.raw_client import frame

LARGE = 3_000_000


class Frames:
    """Takes what a peer would."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def take_frame(self, payload: memoryview) -> None:
        self.taken.append(bytes(payload))


@pytest.fixture
def frames() -> Frames:
    return Frames()


@pytest.fixture
def protocol(frames: Frames) -> _PeerProtocol:
    return _PeerProtocol(cast(Any, frames))


def feed(protocol: _PeerProtocol, data: bytes, most_bytes: int) -> None:
    while data:
        buffer = protocol.get_buffer(-1)
        count = min(len(buffer), len(data), most_bytes)
        assert count > 0
        buffer[:count] = data[:count]
        protocol.buffer_updated(count)
        data = data[count:]


@pytest.mark.parametrize("most_bytes", [100_000, FIRST_BUFFER_BYTES, 10 * LARGE])
def test_frames_of_any_size_arrive_unchanged(
    protocol: _PeerProtocol, frames: Frames, most_bytes: int
) -> None:
    sent = [b"a", b"b" * LARGE, b"c" * (FIRST_BUFFER_BYTES - 4), b"d" * (LARGE + 300_000), b"e"]
    feed(protocol, b"".join(map(frame, sent)), most_bytes)
    assert frames.taken == sent


def test_the_buffer_grows_as_far_as_a_frame_needs_it(protocol: _PeerProtocol) -> None:
    feed(protocol, frame(bytes(LARGE)), 10 * LARGE)
    assert LARGE < len(protocol._buffer) <= LARGE + FIRST_BUFFER_BYTES


@pytest.mark.parametrize("address", [("a..b", 9092), ("127.0.0.1", 70_000), ("x" * 70, 9092)])
def test_an_address_that_is_none_is_told_at_once(address: tuple[str, int]) -> None:
    async def ask() -> Any:
        clients = PeerClients(address_of=lambda _: address, client_id="test")
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        request = {
            "replica_state": {"replica_id": 2, "replica_epoch": 20},
            "max_wait_ms": 60_000,
            "min_bytes": 1,
            "max_bytes": 1,
            "isolation_level": 0,
            "session_id": 0,
            "session_epoch": 0,
            "topics": [],
            "forgotten_topics_data": [],
            "rack_id": "",
        }
        clients.send_fetch(1, request, told.set_result)
        try:
            return await asyncio.wait_for(told, 10)
        finally:
            clients.close()

    assert isinstance(asyncio.run(ask()), Exception)

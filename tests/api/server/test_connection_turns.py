"""A connection with many large frames lets others have their turn of the loop."""

import asyncio
from typing import Any

import pytest

from headrace.api.server.connection import MAX_TURN_BYTES, Connection
from headrace.api.server.connection_table import ConnectionTable
from headrace.api.server.pending_answer import Pieces
from headrace.api.server.receive_buffers import ReceiveBuffers
from headrace.api.server.request_budget import RequestBudget
from tests.support.manual_clock import ManualClock
from tests.support.raw_client import frame


class CountingHandler:
    """Answers nothing."""

    def __init__(self) -> None:
        self.frame_count = 0

    def dispatch_frame(self, connection: Connection, frame: memoryview) -> Pieces | None:
        self.frame_count += 1
        return None


class ReadTransport(asyncio.Transport):
    """Knows whether it is read from."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1)})
        self.is_read = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


def connected(handler: Any) -> tuple[Connection, ReadTransport]:
    connection = Connection(
        handler=handler,
        table=ConnectionTable(clock=ManualClock()),
        buffers=ReceiveBuffers(),
        budget=RequestBudget(-1),
        listener_name="PLAINTEXT",
        request_max_bytes=100 << 20,
    )
    transport = ReadTransport()
    connection.connection_made(transport)
    return connection, transport


def feed_bytes(connection: Connection, data: bytes) -> None:
    """Hand bytes over as a loop does."""
    while data:
        buffer = connection.get_buffer(-1)
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        connection.buffer_updated(count)
        data = data[count:]


def test_large_frames_leave_a_turn_of_the_loop_to_others() -> None:
    """However many lie in the socket: uvloop reads a socket up to 32 times in a turn."""
    large = frame(b"x" * (MAX_TURN_BYTES // 3))
    handler = CountingHandler()

    async def feed() -> list[tuple[bool, bool]]:
        connection, transport = connected(handler)
        seen = []
        for _ in range(6):
            feed_bytes(connection, large)
            at_once = transport.is_read
            await asyncio.sleep(0)
            seen.append((at_once, transport.is_read))
        return seen

    assert asyncio.run(feed()) == 2 * [(True, True), (True, True), (False, True)]
    assert handler.frame_count == 6


@pytest.mark.parametrize("must_wait", ["stop_reading", "hold", "pause_writing"])
def test_one_that_must_wait_is_not_read_from_after_that_turn(must_wait: str) -> None:
    async def feed() -> list[bool]:
        connection, transport = connected(CountingHandler())
        feed_bytes(connection, frame(b"x" * MAX_TURN_BYTES))
        getattr(connection, must_wait)()
        await asyncio.sleep(0)
        seen = [transport.is_read]
        connection.resume_writing()
        connection.release()
        return [*seen, transport.is_read]

    assert asyncio.run(feed()) == [False, must_wait != "stop_reading"]

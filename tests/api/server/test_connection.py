"""Connections over loopback, on uvloop and on asyncio's own loop, with a handler that echoes."""

import asyncio
import logging
import resource
import socket
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.api.handlers.context import CloseConnectionError
from headrace.api.server.connection import MAX_PENDING_ANSWERS, Connection
from headrace.api.server.connection_table import ConnectionTable
from headrace.api.server.pending_answer import PendingAnswer, Pieces
from headrace.api.server.receive_buffers import ReceiveBuffers
from headrace.api.server.request_budget import RequestBudget
from tests.support.loop_thread import LOOP_FACTORIES, LoopThread
from tests.support.manual_clock import ManualClock
from tests.support.raw_client import RawClient, frame


class EchoHandler:
    """Answers a frame with itself; the first byte may ask for something else.

    b"-" no answer; b"!" close; b"~" answer when the test says so; b"=" the same, for a change that
    later frames must find made; b"#N" N bytes of answer.
    """

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.later: list[tuple[bytes, PendingAnswer]] = []
        self.on_frame: Callable[[bytes], None] = lambda payload: None

    def dispatch_frame(
        self, connection: Connection, frame_view: memoryview
    ) -> Pieces | PendingAnswer | None:
        payload = bytes(frame_view)
        self.frames.append(payload)
        self.on_frame(payload)
        kind = payload[:1]
        if kind == b"-":
            return None
        if kind == b"!":
            raise CloseConnectionError("the test said so")
        if kind in (b"~", b"="):
            pending = PendingAnswer(holds_later=kind == b"=")
            self.later.append((payload, pending))
            return pending
        if kind == b"#":
            size_bytes = int(payload[1:])
            return [struct.pack(">i", size_bytes), memoryview(bytes(size_bytes))]
        return [frame(payload)]

    def answer_later(self, position: int) -> None:
        payload, pending = self.later[position]
        pending.complete([frame(payload)])

    def answer_all(self) -> None:
        for payload, pending in list(self.later):
            if pending.pieces is None:
                pending.complete([frame(payload)])


class Server:
    """A listening socket whose connections are ours, on a loop of its own thread."""

    def __init__(self, kind: str, **settings: Any) -> None:
        self.thread = LoopThread(kind)
        self.handler = EchoHandler()
        self.clock = ManualClock()
        self.table = ConnectionTable(
            clock=self.clock,
            **{
                key: value
                for key, value in settings.items()
                if key.startswith("max_") or key == "protected_listener"
            },
        )
        self.buffers = ReceiveBuffers(shared_bytes=settings.get("shared_bytes", 256 * 1024))
        self.budget = RequestBudget(settings.get("queued_bytes", -1))
        self.request_max_bytes = settings.get("request_max_bytes", 100 * 1024 * 1024)
        self.listener_name = "PLAINTEXT"
        self.port = 0

    def connection(self) -> Connection:
        return Connection(
            handler=self.handler,
            table=self.table,
            buffers=self.buffers,
            budget=self.budget,
            listener_name=self.listener_name,
            request_max_bytes=self.request_max_bytes,
        )

    async def listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(self.connection, "127.0.0.1", 0)

    def __enter__(self) -> "Server":
        self.thread.__enter__()
        self._server = self.thread.run(self.listen())
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc: Any) -> None:
        def close_all() -> None:
            self._server.close()
            for connection in self.table.everyone():
                connection.abort()

        self.thread.call(close_all)
        self.thread.__exit__(None, None, None)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Let the loop turn until `condition` holds there."""

        async def turn() -> None:
            while not condition():
                await asyncio.sleep(0.001)

        self.thread.run(turn())

    def let_time_pass(self) -> None:
        """Until the loop's clock shows a later time than now."""
        now = self.thread.call(self.thread.loop.time)
        self.wait_until(lambda: self.thread.loop.time() > now)

    def client(self) -> RawClient:
        return RawClient(self.port)


@pytest.fixture(params=sorted(LOOP_FACTORIES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(kind: str) -> Iterator[Server]:
    with Server(kind) as running:
        yield running


def test_frames_are_answered_one_by_one(server: Server) -> None:
    with server.client() as client:
        for payload in (b"a", b"bc", b"d" * 1000):
            client.send_frame(payload)
            assert client.receive_frame() == payload


def test_many_frames_in_one_segment_are_answered_in_order(server: Server) -> None:
    payloads = [f"request {number}".encode() for number in range(500)]
    with server.client() as client:
        client.send_bytes(b"".join(frame(payload) for payload in payloads))
        assert [client.receive_frame() for _ in payloads] == payloads


def test_frame_that_comes_byte_by_byte_is_handled_once(server: Server) -> None:
    arrived: list[bytes] = []
    server.handler.on_frame = arrived.append
    with server.client() as client:
        for byte in frame(b"hello") + frame(b"x"):
            client.send_bytes(bytes([byte]))
        assert client.receive_frame() == b"hello"
        assert client.receive_frame() == b"x"
    assert arrived == [b"hello", b"x"]


@pytest.mark.parametrize("size_bytes", [255, 4096, 65536, 262_140, 262_141, 1_500_000])
def test_frames_larger_and_smaller_than_the_buffer_arrive_unchanged(
    server: Server, size_bytes: int
) -> None:
    payload = bytes(range(256)) * (size_bytes // 256) + bytes(size_bytes % 256)
    with server.client() as client:
        client.send_bytes(frame(b"before") + frame(payload) + frame(b"after"))
        assert client.receive_frame() == b"before"
        assert client.receive_frame() == payload
        assert client.receive_frame() == b"after"


def test_every_cut_of_a_stream_gives_the_same_frames(kind: str) -> None:
    payloads = [b"a" * 3, b"b" * 60, b"c", b"d" * 200, b"e" * 31]
    stream = b"".join(frame(payload) for payload in payloads)
    with Server(kind, shared_bytes=64) as server:

        def feed() -> None:
            for cut in range(1, len(stream)):
                server.handler.frames.clear()
                connection = server.connection()
                connection.connection_made(SilentTransport())
                for part in (stream[:cut], stream[cut:]):
                    feed_bytes(connection, part)
                assert server.handler.frames == payloads, cut

        server.thread.call(feed)


class SilentTransport(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self, peer: str = "192.0.2.1") -> None:
        super().__init__({"peername": (peer, 1)})
        self.written = bytearray()
        self.is_reading_now = True
        self.is_closed = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_reading_now = False

    def resume_reading(self) -> None:
        self.is_reading_now = True

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True


def feed_bytes(connection: Connection, data: bytes) -> None:
    """Hand bytes to a connection as a loop does."""
    while data:
        buffer = connection.get_buffer(-1)
        count = min(len(buffer), len(data))
        assert count > 0
        buffer[:count] = data[:count]
        connection.buffer_updated(count)
        data = data[count:]


def test_ipv4_client_of_an_ipv6_listener_is_known_by_its_ipv4_address(server: Server) -> None:
    def connect() -> str:
        connection = server.connection()
        connection.connection_made(SilentTransport("::ffff:192.0.2.1"))
        return connection.client_host

    assert server.thread.call(connect) == "192.0.2.1"


def test_announced_length_allocates_nothing(server: Server) -> None:
    def feed() -> int:
        connection = server.connection()
        connection.connection_made(SilentTransport())
        tracemalloc.start()
        try:
            feed_bytes(connection, struct.pack(">i", 90 * 1024 * 1024) + b"x" * 100)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert server.thread.call(feed) < 64 * 1024
    assert server.budget.held_bytes > 90 * 1024 * 1024


def test_frame_buffer_grows_with_what_arrives(server: Server) -> None:
    def feed() -> None:
        connection = server.connection()
        connection.connection_made(SilentTransport())
        tracemalloc.start()
        feed_bytes(connection, struct.pack(">i", 3_000_000))
        arrived = 4
        while arrived < 3_000_000:
            feed_bytes(connection, bytes(10_000))
            arrived += 10_000
            # Twice that is the buffer; those before it are kept, and the handler keeps a copy.
            assert tracemalloc.get_traced_memory()[0] <= 6 * arrived + 64 * 1024
        tracemalloc.stop()
        feed_bytes(connection, bytes(3_000_004 - arrived))
        assert server.budget.held_bytes == 0
        assert [len(payload) for payload in server.handler.frames] == [3_000_000]

    server.thread.call(feed)


def test_answer_that_comes_late_holds_back_the_ones_behind_it(server: Server) -> None:
    with server.client() as client:
        for payload in (b"~1", b"2", b"~3", b"4"):
            client.send_frame(payload)
        server.wait_until(lambda: len(server.handler.frames) == 4)
        server.thread.call(server.handler.answer_later, 1)
        client.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.receive_exactly(1)
        client.socket.settimeout(60)
        server.thread.call(server.handler.answer_later, 0)
        assert [client.receive_frame() for _ in range(4)] == [b"~1", b"2", b"~3", b"4"]


@pytest.mark.parametrize("in_one_segment", [True, False])
def test_what_is_sent_behind_a_change_is_handled_when_it_is_answered(
    server: Server, in_one_segment: bool
) -> None:
    payloads = (b"~1", b"=2", b"=3", b"4")
    with server.client() as client:
        if in_one_segment:
            client.send_bytes(b"".join(map(frame, payloads)))
        else:
            for payload in payloads[:2]:
                client.send_frame(payload)
                server.wait_until(lambda sent=payload: server.handler.frames[-1:] == [sent])
            for payload in payloads[2:]:
                client.send_frame(payload)
        server.wait_until(lambda: len(server.handler.frames) == 2)
        server.thread.call(server.handler.answer_later, 1)
        server.let_time_pass()
        assert server.handler.frames == [b"~1", b"=2"], "the change is not answered yet"
        server.thread.call(server.handler.answer_later, 0)
        server.wait_until(lambda: len(server.handler.frames) == 3)
        server.thread.call(server.handler.answer_later, 2)
        assert [client.receive_frame() for _ in range(4)] == list(payloads)


def test_request_without_answer_leaves_no_gap(server: Server) -> None:
    with server.client() as client:
        for payload in (b"-", b"1", b"~2", b"-", b"3"):
            client.send_frame(payload)
        server.wait_until(lambda: len(server.handler.frames) == 5)
        server.thread.call(server.handler.answer_later, 0)
        assert [client.receive_frame() for _ in range(3)] == [b"1", b"~2", b"3"]


def test_late_answer_that_turns_out_to_be_none_is_skipped(server: Server) -> None:
    with server.client() as client:
        client.send_frame(b"~1")
        client.send_frame(b"2")
        server.wait_until(lambda: len(server.handler.frames) == 2)
        server.thread.call(server.handler.later[0][1].complete, [])
        assert client.receive_frame() == b"2"


def test_close_is_the_answer_after_earlier_answers_left(server: Server) -> None:
    with server.client() as client:
        client.send_bytes(frame(b"1") + frame(b"!") + frame(b"never"))
        assert client.receive_frame() == b"1"
        assert client.is_closed_by_peer()
    assert b"never" not in server.handler.frames


def test_late_failure_closes_when_its_turn_comes(server: Server) -> None:
    with server.client() as client:
        client.send_bytes(frame(b"~1") + frame(b"~2"))
        server.wait_until(lambda: len(server.handler.later) == 2)
        server.thread.call(server.handler.later[1][1].fail, CloseConnectionError("broken"))
        server.thread.call(server.handler.answer_later, 0)
        assert client.receive_frame() == b"~1"
        assert client.is_closed_by_peer()


def test_too_many_unanswered_requests_stop_the_reading(server: Server) -> None:
    count = MAX_PENDING_ANSWERS + 50
    with server.client() as client:
        client.send_bytes(b"".join(frame(f"~{number}".encode()) for number in range(count)))
        server.wait_until(lambda: len(server.handler.later) == MAX_PENDING_ANSWERS)
        server.thread.call(server.handler.answer_all)
        server.wait_until(lambda: len(server.handler.later) == count)
        server.thread.call(server.handler.answer_all)
        answers = [client.receive_frame() for _ in range(count)]
    assert answers == [f"~{number}".encode() for number in range(count)]


def test_client_that_does_not_read_is_not_read_from(server: Server) -> None:
    asked = 60
    with server.client() as client:
        client.send_bytes(frame(b"#1000000") * asked)
        with server.client() as other:
            other.send_frame(b"unharmed")
            assert other.receive_frame() == b"unharmed"
        handled = server.handler.frames.count(b"#1000000")
        assert 0 < handled < asked
        for _ in range(asked):
            assert len(client.receive_frame()) == 1_000_000
    assert server.handler.frames.count(b"#1000000") == asked


def test_spent_budget_stops_others_until_it_is_given_back(kind: str) -> None:
    with Server(kind, queued_bytes=1000) as server, server.client() as big, server.client() as late:
        big.send_frame(b"~" + b"x" * 2000)
        server.wait_until(lambda: len(server.handler.later) == 1)
        late.send_bytes(frame(b"half of it")[:8])
        late.send_bytes(frame(b"half of it")[8:])
        assert server.thread.call(lambda: server.budget.is_spent)
        server.thread.call(server.handler.answer_later, 0)
        assert len(big.receive_frame()) == 2001
        assert late.receive_frame() == b"half of it"
    assert server.budget.held_bytes == 0


def test_lost_connection_gives_back_all_it_held(server: Server) -> None:
    cancelled: list[str] = []
    client = server.client()
    client.send_bytes(frame(b"~1") + frame(b"x" * 5000)[:3000])
    server.wait_until(lambda: len(server.handler.later) == 1 and server.budget.held_bytes > 3000)

    def watch() -> None:
        pending = server.handler.later[0][1]
        pending.work = asyncio.get_running_loop().create_future()
        pending.work.add_done_callback(lambda work: cancelled.append("cancelled"))

    server.thread.call(watch)
    client.close()
    server.wait_until(lambda: len(server.table) == 0 and cancelled == ["cancelled"])
    assert server.budget.held_bytes == 0


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP request"),
        (bytes.fromhex("16030100f8010000f40303"), "TLS handshake"),
        (b"SSH-2.0-OpenSSH_9.0\r\n", "SSH client"),
        (struct.pack(">i", -5), "-5 bytes"),
        (struct.pack(">i", 0), "0 bytes"),
        (struct.pack(">i", 100 * 1024 * 1024 + 1), "socket.request.max.bytes=104857600"),
    ],
)
def test_foreign_greeting_is_explained_once_and_closed(
    server: Server, caplog: pytest.LogCaptureFixture, greeting: bytes, words: str
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        with server.client() as client:
            client.send_bytes(greeting)
            assert client.is_closed_by_peer()
    assert len([line for line in caplog.messages if words in line]) == 1
    with server.client() as client:
        client.send_frame(b"fine")
        assert client.receive_frame() == b"fine"


def test_request_above_the_limit_is_refused_after_the_answers_before_it(kind: str) -> None:
    with Server(kind, request_max_bytes=1000) as server, server.client() as client:
        client.send_bytes(frame(b"fits") + frame(bytes(1001)) + frame(b"never"))
        assert client.receive_frame() == b"fits"
        assert client.is_closed_by_peer()
        assert server.handler.frames == [b"fits"]


def test_connection_above_max_connections_waits_until_there_is_room(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Server(kind, max_connections=2) as server:
        first, second = server.client(), server.client()
        for client in (first, second):
            client.send_frame(b"in")
            assert client.receive_frame() == b"in"
        with server.client() as third, server.client() as fourth:
            third.send_frame(b"third")
            fourth.send_frame(b"fourth")
            server.wait_until(lambda: len(server.table.everyone()) == 4)
            second.send_frame(b"served")
            assert second.receive_frame() == b"served"
            assert server.handler.frames == [b"in", b"in", b"served"]
            first.close()
            assert third.receive_frame() == b"third"
            third.send_frame(b"and on")
            assert third.receive_frame() == b"and on"
            assert len(server.table) == 2
            second.close()
            assert fourth.receive_frame() == b"fourth"
    waited = [line for line in caplog.messages if "keeps waiting" in line]
    assert len(waited) == 1
    assert "max.connections=2" in waited[0]


def test_connection_that_left_while_it_waited_takes_no_room(kind: str) -> None:
    with Server(kind, max_connections=1) as server, server.client() as first:
        first.send_frame(b"in")
        assert first.receive_frame() == b"in"
        for greeting in (b"", frame(b"gone")):
            left = server.client()
            left.send_bytes(greeting)
            server.wait_until(lambda: len(server.table.everyone()) >= 2)
            left.close()
        with server.client() as last:
            last.send_frame(b"last")
            first.close()
            assert last.receive_frame() == b"last"


def test_more_connections_are_admitted_or_the_idle_ones_closed_as_the_limit_changes(
    kind: str,
) -> None:
    def limit(count: int) -> None:
        server.table.change_limits(
            max_connections=count, max_connections_per_ip=100, per_ip_overrides={}
        )

    with Server(kind, max_connections=1) as server:
        clients = [server.client() for _ in range(3)]
        server.wait_until(lambda: len(server.table.everyone()) == 3)
        server.thread.call(limit, 3)
        for client in clients:
            client.send_frame(b"in")
            assert client.receive_frame() == b"in"
            server.let_time_pass()
        server.thread.call(limit, 1)
        assert clients[0].is_closed_by_peer()
        assert clients[1].is_closed_by_peer()
        clients[2].send_frame(b"stays")
        assert clients[2].receive_frame() == b"stays"
        clients[2].close()


def test_connection_of_a_broker_is_let_in_and_the_longest_idle_client_closed(kind: str) -> None:
    with Server(kind, max_connections=2, protected_listener="BROKERS") as server:
        idle, busy = server.client(), server.client()
        for client in (idle, busy):
            client.send_frame(b"in")
            assert client.receive_frame() == b"in"
            server.let_time_pass()
        server.listener_name = "BROKERS"
        with server.client() as peer:
            peer.send_frame(b"peer")
            assert peer.receive_frame() == b"peer"
        assert idle.is_closed_by_peer()
        busy.send_frame(b"stays")
        assert busy.receive_frame() == b"stays"
        busy.close()


def test_one_address_has_a_limit_of_its_own(kind: str) -> None:
    with Server(kind, max_connections_per_ip=1) as server, server.client() as first:
        first.send_frame(b"in")
        assert first.receive_frame() == b"in"
        with server.client() as second:
            assert second.is_closed_by_peer()


def test_idle_connections_are_closed_and_waiting_ones_are_not(kind: str) -> None:
    with (
        Server(kind, max_idle_ms=1000) as server,
        server.client() as idle,
        server.client() as half,
        server.client() as waiting,
    ):
        idle.send_frame(b"1")
        assert idle.receive_frame() == b"1"
        half.send_bytes(b"\0\0")
        waiting.send_frame(b"~")
        server.wait_until(lambda: len(server.table) == 3 and server.budget.held_bytes == 5)
        now = server.thread.loop.time()
        assert server.thread.call(server.table.close_idle, now) == 0
        assert server.thread.call(server.table.close_idle, now + 2) == 2
        assert idle.is_closed_by_peer()
        assert half.is_closed_by_peer()
        server.thread.call(server.handler.answer_later, 0)
        assert waiting.receive_frame() == b"~"


async def connect_many(port: int, count: int) -> list[socket.socket]:
    """Sockets connected on the loop's own thread: two threads would wait for each other."""
    loop = asyncio.get_running_loop()
    sockets = []
    for _ in range(count):
        client = socket.socket()
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        sockets.append(client)
    return sockets


def test_five_thousand_idle_connections_leave_the_others_unharmed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(5000, hard // 2 - 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with Server("uvloop" if "uvloop" in LOOP_FACTORIES else "asyncio") as server:
            idle = server.thread.run(connect_many(server.port, count), timeout_s=120)
            server.wait_until(lambda: len(server.table) == count)
            assert server.budget.held_bytes == 0
            with server.client() as client:
                client.send_frame(b"unharmed")
                assert client.receive_frame() == b"unharmed"
            idle[-1].setblocking(True)
            idle[-1].sendall(frame(b"awake"))
            assert idle[-1].recv(100) == frame(b"awake")
            for client in idle:
                client.close()
            server.wait_until(lambda: len(server.table) == 0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

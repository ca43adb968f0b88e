"""Clients that break the rules, hang, or die: said once in words, and the others are unharmed."""

import contextlib
import random
import resource
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from headrace.api.wire.headers import encode_request_frame
from tests.support.broker_process import BrokerProcess
from tests.support.raw_client import RawClient, frame
from tests.support.requests import Requester
from tests.support.stored_records import create_topic, fetch_all, make_batch, produce

NONE = 0
WITHIN_S = 60
IDLE_CONNECTIONS = 5000
SLOW_MS = 20_000.0  # what a client that blocks the loop would exceed; a busy machine should not


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    folder = tmp_path_factory.mktemp("clients")
    config = {"socket.request.max.bytes": str(4 << 20), "log.segment.bytes": str(64 << 20)}
    with BrokerProcess(folder, config=config) as process:
        with Requester(process.port) as requester:
            assert create_topic(requester, "clicks")[0] == NONE
        yield process


@pytest.fixture(autouse=True)
def the_others(broker: BrokerProcess) -> Iterator[None]:
    """A client that was there before, and one that comes after: both are served."""
    with Requester(broker.port) as before:
        assert produce(before, "clicks", b"before")[0] == NONE
        pid = broker.pid
        yield
        assert produce(before, "clicks", b"still")[0] == NONE
        with Requester(broker.port) as after:
            assert produce(after, "clicks", b"after")[0] == NONE
        assert broker.pid == pid
        assert "Traceback" not in broker.log.read_text()


def resident_bytes(broker: BrokerProcess) -> int:
    for line in Path(f"/proc/{broker.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon in /proc")


def slowest_request_ms(requester: Requester, count: int = 200) -> float:
    slowest = 0.0
    for _ in range(count):
        start = time.perf_counter()
        assert produce(requester, "clicks", b"timed")[0] == NONE
        slowest = max(slowest, (time.perf_counter() - start) * 1000)
    return slowest


def test_http_and_tls_greetings_are_closed_and_told_in_words(broker: BrokerProcess) -> None:
    for _ in range(3):
        with RawClient(broker.port) as client:
            client.send_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.is_closed_by_peer()
    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", broker.port), timeout=WITHIN_S) as plain,
        contextlib.suppress(ssl.SSLError, ConnectionError),
    ):
        context.wrap_socket(plain, server_hostname="localhost").close()
        raise AssertionError("TLS was answered")
    said = broker.log.read_text()
    assert said.count("HTTP") == 1, said
    assert said.count("TLS") == 1, said


def test_lengths_that_cannot_be_true_close_the_connection(broker: BrokerProcess) -> None:
    before = resident_bytes(broker)
    for size_bytes in (-1, 0, 3, 0x7FFFFFFF, (4 << 20) + 1):
        with RawClient(broker.port) as client:
            client.send_bytes(struct.pack(">i", size_bytes) + b"junk")
            assert client.is_closed_by_peer(), size_bytes
    assert resident_bytes(broker) - before < 4 << 20


def test_junk_in_well_formed_frames_is_answered_or_closed_at_once(broker: BrokerProcess) -> None:
    chance = random.Random(20261123)
    for number in range(300):
        junk = chance.randbytes(chance.randint(1, 300))
        if number % 2:  # a real header and a body of junk
            key, version = chance.randint(0, 75), chance.randint(0, 12)
            junk = struct.pack(">hhih", key, version, number, -1) + junk
        with RawClient(broker.port, timeout_s=WITHIN_S) as client:
            client.send_frame(junk)
            client.socket.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while client.socket.recv(65536):
                    pass


def test_half_requests_of_many_clients_harm_nobody(broker: BrokerProcess) -> None:
    whole = frame(b"x" * 1000)
    with contextlib.ExitStack() as stack:
        for cut in range(1, 301):
            client = stack.enter_context(RawClient(broker.port))
            client.send_bytes(whole[: 1 + cut % (len(whole) - 1)])
        requester = stack.enter_context(Requester(broker.port))
        assert slowest_request_ms(requester) < SLOW_MS


def test_announced_lengths_allocate_nothing(broker: BrokerProcess) -> None:
    """300 clients announce 4 MiB each and send ten bytes of them."""
    before = resident_bytes(broker)
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            client = stack.enter_context(RawClient(broker.port))
            client.send_bytes(struct.pack(">i", 4 << 20) + b"0123456789")
        requester = stack.enter_context(Requester(broker.port))
        assert produce(requester, "clicks", b"between")[0] == NONE
        assert resident_bytes(broker) - before < 32 << 20


def test_clients_that_never_read_their_answers_are_bounded(broker: BrokerProcess) -> None:
    with Requester(broker.port) as requester:
        assert create_topic(requester, "big")[0] == NONE
        for _ in range(10):
            assert produce(requester, "big", b"x" * 900_000)[0] == NONE
        before = resident_bytes(broker)
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                slow = stack.enter_context(Requester(broker.port))
                slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                for _ in range(50):
                    slow.send(1, 12, _fetch_of("big"))
            assert slowest_request_ms(requester) < SLOW_MS
            # 20 clients times 50 answers of 9 MB would be 9 GB.
            assert resident_bytes(broker) - before < 64 << 20


def _fetch_of(topic: str) -> dict[str, object]:
    asked = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 16 << 20}
    topics = [{"topic": topic, "partitions": [asked]}]
    return {"max_wait_ms": 0, "min_bytes": 1, "max_bytes": 16 << 20, "topics": topics}


def test_clients_killed_in_the_middle_of_a_request_leave_whole_batches(
    broker: BrokerProcess,
) -> None:
    batch = make_batch(*[b"record %d" % number for number in range(100)])
    body = {
        "acks": -1,
        "timeout_ms": 1000,
        "topic_data": [{"name": "cut", "partition_data": [{"index": 0, "records": batch}]}],
    }
    with Requester(broker.port) as requester:
        assert create_topic(requester, "cut")[0] == NONE
        request = encode_request_frame(0, 9, 1, "killed", body)
        for size_bytes in [*range(1, len(request), 29), len(request)]:
            client = RawClient(broker.port)
            client.send_bytes(request[:size_bytes])
            # A reset, as from a process that was killed with data unread.
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        error_code, offset = produce(requester, "cut", b"more")
        assert (error_code, offset in (0, 100)) == (NONE, True)
        assert len(fetch_all(requester, "cut")) in (1, 101)


def test_reconnecting_clients_leave_no_descriptor_behind(broker: BrokerProcess) -> None:
    descriptors = Path(f"/proc/{broker.pid}/fd")
    with Requester(broker.port) as requester:
        assert produce(requester, "clicks", b"one")[0] == NONE
        before = len(list(descriptors.iterdir()))
        for _ in range(500):
            with Requester(broker.port) as client:
                client.send(3, 12, {"topics": [], "allow_auto_topic_creation": False})
        deadline = time.monotonic() + WITHIN_S
        while len(list(descriptors.iterdir())) > before + 5:
            assert time.monotonic() < deadline, "descriptors were not given back"
            assert produce(requester, "clicks", b"one")[0] == NONE


def test_thousands_of_idle_connections_cost_little(broker: BrokerProcess) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE_CONNECTIONS, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 500), hard))
    before = resident_bytes(broker)
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(RawClient(broker.port))
            requester = stack.enter_context(Requester(broker.port))
            assert slowest_request_ms(requester) < SLOW_MS
            assert resident_bytes(broker) - before < count * 20 * 1024
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_real_producer_goes_on_beside_a_storm_of_bad_clients(broker: BrokerProcess) -> None:
    failures: list[str] = []
    stop = threading.Event()

    def storm() -> None:
        chance = random.Random(7)
        while not stop.is_set():
            with contextlib.suppress(OSError), RawClient(broker.port) as client:
                client.send_bytes(chance.randbytes(chance.randint(1, 2000)))

    def on_delivery(error: object, _message: object) -> None:
        if error is not None:
            failures.append(str(error))

    with Requester(broker.port) as requester:
        assert create_topic(requester, "storm")[0] == NONE
        attacker = threading.Thread(target=storm)
        attacker.start()
        try:
            producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 1})
            for number in range(20_000):
                producer.produce("storm", b"%d" % number, on_delivery=on_delivery)
                producer.poll(0)
            assert producer.flush(WITHIN_S) == 0
        finally:
            stop.set()
            attacker.join()
        assert not failures
        found = list(fetch_all(requester, "storm").values())
        assert found == [b"%d" % number for number in range(20_000)]

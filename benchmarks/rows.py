"""The rows of the side-by-side table: each a load on one running broker, and its figures.

A figure is (value, unit, "more" or "less").  CPU figures are the broker's own seconds.
"""

import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from .harness import build_load_program, run_load
from .peers.peer import PeerUnavailableError, RunningPeer

Figures = dict[str, tuple[float, str, str]]

MESSAGES = {"smoke": 20_000, "quick": 1_000_000, "full": 5_000_000}
BIG_MESSAGES = {"smoke": 5_000, "quick": 400_000, "full": 1_500_000}
SMALL_REQUESTS = {"smoke": 500, "quick": 20_000, "full": 100_000}
LATENCY_SECONDS = {"smoke": 0.5, "quick": 3, "full": 10}
IDLE_CONNECTIONS = {"smoke": 100, "quick": 2000, "full": 2000}


def _produce(peer: RunningPeer, topic: str, count: int, size: int, *settings: str) -> Figures:
    """Rate and cost of producing `count` messages of `size` bytes after a tenth as warm-up."""
    program = build_load_program("load_client", ("rdkafka",))
    run_load(program, "produce", peer.bootstrap, topic, count // 10, size, *settings)
    before = peer.cpu_s()
    result = run_load(program, "produce", peer.bootstrap, topic, count, size, *settings)
    cpu_s = peer.cpu_s() - before
    return {
        "rate": (result["messages"] / result["seconds"], "msg/s", "more"),
        "cpu": (cpu_s / (result["bytes"] / 1e9), "CPU-s/GB", "less"),
        "bytes": (result["bytes"] / result["seconds"] / 1e9, "GB/s", "more"),
    }


def produce_100(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """librdkafka's default batches, linger 5 ms, three kinds of acknowledgement."""
    figures: Figures = {}
    kinds = {
        "acks=1": ("acks=1",),
        "acks=all": ("acks=all",),
        "idempotent": ("enable.idempotence=true",),
    }
    for kind, settings in kinds.items():
        topic = f"p100-{kind.replace('=', '-')}-{turn}"
        got = _produce(peer, topic, MESSAGES[scale], 100, "linger.ms=5", *settings)
        figures[f"produce 100 B {kind}"] = got["rate"]
        figures[f"produce 100 B {kind}, broker"] = got["cpu"]
    return figures


def produce_1k(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """1 KB messages in batches of 1 MB."""
    big = ("linger.ms=50", "batch.size=1000000", "batch.num.messages=1000", "acks=1")
    got = _produce(peer, f"p1k-{turn}", BIG_MESSAGES[scale], 1000, *big)
    return {"produce 1 KB, 1 MB batches": got["bytes"], "produce 1 KB, broker": got["cpu"]}


def consume(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """Reading a warm topic from its beginning."""
    program = build_load_program("load_client", ("rdkafka",))
    figures: Figures = {}
    for words, size, count in (
        ("100 B", 100, MESSAGES[scale]),
        ("1 KB", 1000, BIG_MESSAGES[scale]),
    ):
        topic = f"consume-{size}"
        if turn == 0:
            run_load(program, "produce", peer.bootstrap, topic, count, size, "linger.ms=5")
        before = peer.cpu_s()
        result = run_load(program, "consume", peer.bootstrap, topic, count, 0)
        cpu_s = peer.cpu_s() - before
        rate = result["messages"] / result["seconds"]
        figures[f"consume {words}"] = (rate, "msg/s", "more")
        figures[f"consume {words}, broker"] = (cpu_s / (result["bytes"] / 1e9), "CPU-s/GB", "less")
    return figures


def small_requests(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """One 100-byte record a request, one connection, 1 and 64 in flight."""
    program = build_load_program("small_requests")
    figures: Figures = {}
    create_ready_topic(peer, "small")
    for depth in (1, 64):
        count = SMALL_REQUESTS[scale]
        run_load(program, "127.0.0.1", peer.port, "small", count // 10, depth, 1)
        before = peer.cpu_s()
        result = run_load(program, "127.0.0.1", peer.port, "small", count, depth, 1)
        cost_us = (peer.cpu_s() - before) / count * 1e6
        words = f"small request, {depth} in flight"
        figures[f"{words}, broker"] = (cost_us, "CPU-us", "less")
        figures[words] = (count / result["seconds"], "requests/s", "more")
        figures[f"{words}, p50"] = (result["p50_us"], "us", "less")
        figures[f"{words}, p99"] = (result["p99_us"], "us", "less")
    return figures


def latency(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """End to end at 1,000 messages a second with confluent-kafka: an open loop, no omission.

    Each message carries the time at which it was due, so a late send counts as latency.
    """
    from confluent_kafka import Consumer, Producer, TopicPartition

    topic = f"latency-{turn}"
    create_topic(peer, topic)
    settings = {"bootstrap.servers": peer.bootstrap}
    consumer = Consumer(settings | {"group.id": "latency", "fetch.wait.max.ms": "500"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    producer = Producer(settings | {"linger.ms": "0", "acks": "all"})
    total = int(1000 * LATENCY_SECONDS[scale])
    taken: list[float] = []
    warm_up = total // 10
    start = time.perf_counter() + 0.2
    sent = 0
    while len(taken) < total:
        now = time.perf_counter()
        while sent < total and start + sent / 1000 <= now:
            producer.produce(topic, struct.pack(">d", start + sent / 1000))
            sent += 1
        producer.poll(0)
        next_due = start + sent / 1000 if sent < total else now + 1
        message = consumer.poll(max(0.0, min(0.0005, next_due - now)))
        if message is not None and message.error() is None:
            (due,) = struct.unpack(">d", message.value() or b"")
            taken.append(time.perf_counter() - due)
        elif now - start > total / 1000 + 20:
            raise PeerUnavailableError(f"latency: {len(taken)} of {total} messages came back")
    consumer.close()
    measured_ms = sorted(1000 * seconds for seconds in taken[warm_up:])
    figures: Figures = {}
    for percent in (50, 99, 99.9):
        value = measured_ms[int(percent / 100 * len(measured_ms))]
        figures[f"end to end at 1,000 msg/s, p{percent}"] = (value, "ms", "less")
    return figures


def start_and_size(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """From the fork to the first Metadata answer, and resident memory before and after load."""
    figures: Figures = {}
    if turn == 0:
        figures["start to first Metadata"] = (peer.started_s, "s", "less")
        figures["idle RSS"] = (peer.memory_mib()["rss"], "MiB", "less")
    program = build_load_program("load_client", ("rdkafka",))
    count = BIG_MESSAGES[scale]
    run_load(program, "produce", peer.bootstrap, "size", count, 1000, "linger.ms=5")
    figures["anonymous memory after load"] = (peer.memory_mib()["anonymous"], "MiB", "less")
    return figures


def idle_connections(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """What connections that say nothing cost each, and what they do to one that works."""
    program = build_load_program("small_requests")
    create_ready_topic(peer, "small")
    load = ("127.0.0.1", peer.port, "small", SMALL_REQUESTS[scale], 1, 1)
    run_load(program, *load)
    alone = run_load(program, *load)
    count = IDLE_CONNECTIONS[scale]
    before = peer.memory_mib()["rss"]
    sockets = []
    try:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", peer.port), timeout=10)
            connection.sendall(bytes.fromhex("0000000a0012000000000001ffff"))
            sockets.append(connection)
        for connection in sockets:
            connection.recv(4096)
        grown_kib = (peer.memory_mib()["rss"] - before) * 1024 / count
        beside = run_load(program, *load)
    finally:
        for connection in sockets:
            connection.close()
    return {
        f"an idle connection of {count:,}": (grown_kib, "KiB", "less"),
        "small request alone, p99": (alone["p99_us"], "us", "less"),
        f"small request beside {count:,} idle, p99": (beside["p99_us"], "us", "less"),
    }


def create_topic(peer: RunningPeer, name: str, partitions: int = 1) -> None:
    """Creates a topic where it is not there yet."""
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient, NewTopic

    client: Any = AdminClient({"bootstrap.servers": peer.bootstrap})
    future = client.create_topics([NewTopic(name, partitions, 1)])[name]
    try:
        future.result(30)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise PeerUnavailableError(str(error.args[0])) from None


def create_ready_topic(peer: RunningPeer, name: str) -> None:
    """As `create_topic`, and its leader took a record: for loads that do not try again."""
    from confluent_kafka import Producer

    create_topic(peer, name)
    failures: list[object] = []

    def note(error: object, message: object) -> None:
        if error is not None:
            failures.append(error)

    producer = Producer({"bootstrap.servers": peer.bootstrap, "acks": "all"})
    producer.produce(name, b"first", partition=0, on_delivery=note)
    if producer.flush(30) or failures:
        raise PeerUnavailableError(f"{name}: no record was taken in 30 s {failures[:1]}")


ROWS: dict[str, Callable[[RunningPeer, int, str], Figures]] = {
    "produce": produce_100,
    "produce-1k": produce_1k,
    "consume": consume,
    "small": small_requests,
    "latency": latency,
    "start": start_and_size,
    "idle": idle_connections,
}

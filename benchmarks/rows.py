"""The rows of one broker: large batches, small requests, latency, size."""

import socket

from .harness import run_loads
from .loads import consume_command, produce_command, request_command
from .paced import paced_latencies
from .peers.peer import RunningPeer
from .plain_writes import ControlledLoad, run_controlled
from .row import ANY_PROTOCOL, BIG_MESSAGES, MESSAGES, Figures, Row
from .topics import create_ready_topic, create_topic

SMALL_REQUESTS = {"smoke": 500, "quick": 20_000, "full": 100_000}
LATENCY_SECONDS = {"smoke": 0.5, "quick": 3, "full": 10}
IDLE_CONNECTIONS = {"smoke": 100, "quick": 2000, "full": 2000}
KINDS = {
    "acks=1": ("acks=1",),
    "acks=all": ("acks=all",),
    "idempotent": ("enable.idempotence=true",),
}


def produced(
    peer: RunningPeer, topic: str, count: int, size: int, *settings: str
) -> ControlledLoad:
    """Producing `count` messages of `size` bytes after a tenth as warm-up."""
    run_loads([produce_command(peer, topic, count // 10, size, *settings)])
    command = produce_command(peer, topic, count, size, *settings)
    return run_controlled(peer, [command], written_bytes=count * size)


def produce_100(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """librdkafka's default batches, linger 5 ms, three kinds of acknowledgement."""
    figures: Figures = {}
    kinds = KINDS if peer.protocol == "kafka" else {"acks=1": ()}
    for kind, settings in kinds.items():
        topic = f"p100-{kind.replace('=', '-')}-{turn}"
        got = produced(peer, topic, MESSAGES[scale], 100, "linger.ms=5", *settings)
        figures[f"produce 100 B {kind}"] = got.messages_per_s
        figures |= got.costs(f"produce 100 B {kind}, broker")
    return figures


def produce_1k(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """1 KB messages in batches of 1 MB."""
    big = ("linger.ms=50", "batch.size=1000000", "batch.num.messages=1000", "acks=1")
    got = produced(peer, f"p1k-{turn}", BIG_MESSAGES[scale], 1000, *big)
    return {"produce 1 KB, 1 MB batches": got.gb_per_s} | got.costs("produce 1 KB, broker")


def consume(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """Reading a warm topic from its beginning."""
    figures: Figures = {}
    for words, size, count in (
        ("100 B", 100, MESSAGES[scale]),
        ("1 KB", 1000, BIG_MESSAGES[scale]),
    ):
        topic = f"consume-{size}"
        if turn == 0:
            run_loads([produce_command(peer, topic, count, size, "linger.ms=5")])
        command = consume_command(peer, topic, count)
        before = peer.cpu_s()
        (result,) = run_loads([command])
        cpu_s = peer.cpu_s() - before
        rate = result["messages"] / result["seconds"]
        figures[f"consume {words}"] = (rate, "msg/s", "more")
        figures[f"consume {words}, broker"] = (cpu_s / (result["bytes"] / 1e9), "CPU-s/GB", "less")
    return figures


def small_requests(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """One 100-byte record a request, one connection, 1 and 64 in flight."""
    figures: Figures = {}
    if peer.protocol == "kafka":
        create_ready_topic(peer, "small")
    for depth in (1, 64):
        count = SMALL_REQUESTS[scale]
        run_loads([request_command(peer, "small", count // 10, depth)])
        command = request_command(peer, "small", count, depth)
        before = peer.cpu_s()
        (result,) = run_loads([command])
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
    topic = f"latency-{turn}"
    create_topic(peer, topic)
    total = int(1000 * LATENCY_SECONDS[scale])
    taken_s = paced_latencies(peer, topic, total)
    measured_ms = sorted(1000 * seconds for seconds in taken_s[total // 10 :])
    figures: Figures = {}
    for percent in (50, 99, 99.9):
        value = measured_ms[int(percent / 100 * len(measured_ms))]
        figures[f"end to end at 1,000 msg/s, p{percent}"] = (value, "ms", "less")
    return figures


def start_and_size(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """From the fork to the first answer, memory before and after load, the files of that load."""
    figures: Figures = {}
    if turn == 0:
        figures["start to first answer"] = (peer.started_s, "s", "less")
        figures["idle RSS"] = (peer.memory_mib()["rss"], "MiB", "less")
    count = BIG_MESSAGES[scale]
    before_mib = peer.disk_mib()
    run_loads([produce_command(peer, f"size-{turn}", count, 1000, "linger.ms=5")])
    grown_share = (peer.disk_mib() - before_mib) * (1 << 20) / (count * 1000)
    figures["anonymous memory after load"] = (peer.memory_mib()["anonymous"], "MiB", "less")
    figures["disk for a byte produced, 1 KB"] = (grown_share, "bytes", "less")
    return figures


def idle_connections(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """What connections that say nothing cost each, and what they do to one that works."""
    create_ready_topic(peer, "small")
    load = request_command(peer, "small", SMALL_REQUESTS[scale], 1)
    run_loads([load])
    (alone,) = run_loads([load])
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
        (beside,) = run_loads([load])
    finally:
        for connection in sockets:
            connection.close()
    return {
        f"an idle connection of {count:,}": (grown_kib, "KiB", "less"),
        "small request alone, p99": (alone["p99_us"], "us", "less"),
        f"small request beside {count:,} idle, p99": (beside["p99_us"], "us", "less"),
    }


ROWS = {
    "produce": Row(produce_100, 15, ANY_PROTOCOL),
    "produce-1k": Row(produce_1k, 8, ANY_PROTOCOL),
    "consume": Row(consume, 8, ANY_PROTOCOL, needs_first_turn=True),
    "small": Row(small_requests, 15, ANY_PROTOCOL),
    "latency": Row(latency, 13),
    "start": Row(start_and_size, 6, ANY_PROTOCOL),
    "idle": Row(idle_connections, 35),
}

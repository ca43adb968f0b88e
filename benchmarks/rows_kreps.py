"""Jay Kreps's table of 2014, "Benchmarking Apache Kafka: 2 Million Writes Per Second", by name.

100-byte messages, six partitions.  One broker: the published rows with three replicas have no
counterpart here, so acks=all of one replica is what "sync" stands for.
"""

from collections.abc import Callable
from pathlib import Path

from .harness import build_load_program, run_loads
from .peers.peer import RunningPeer
from .rows import MESSAGES, Figures, create_topic, latency

PARTITIONS = 6
MESSAGE_BYTES = 100
PRODUCER = ("linger.ms=5",)


def _program() -> Path:
    return build_load_program("load_client", ("rdkafka",))


def _loads(peer: RunningPeer, title: str, commands: list[list[object]], messages: int) -> Figures:
    """Runs all at once; the sum of their rates, and the broker's cost for all bytes."""
    before = peer.cpu_s()
    results = run_loads(commands)
    cpu_s = peer.cpu_s() - before
    seconds = max(result["seconds"] for result in results)
    moved = sum(result["bytes"] for result in results)
    return {
        title: (messages / seconds, "msg/s", "more"),
        f"{title}, broker": (cpu_s / (moved / 1e9), "CPU-s/GB", "less"),
    }


def _produce_command(peer: RunningPeer, topic: str, count: int, *settings: str) -> list[object]:
    load = [_program(), "produce", peer.bootstrap, topic, count, MESSAGE_BYTES]
    return [*load, *PRODUCER, *settings]


def _consume_command(peer: RunningPeer, topic: str, count: int) -> list[object]:
    return [_program(), "consume", peer.bootstrap, topic, count, 0]


def _topic(peer: RunningPeer, name: str) -> str:
    create_topic(peer, name, PARTITIONS)
    return name


def one_producer(peer: RunningPeer, turn: int, scale: str) -> Figures:
    figures: Figures = {}
    count = MESSAGES[scale]
    for acks in ("1", "0", "all"):
        topic = _topic(peer, f"one-{acks}-{turn}")
        run_loads([_produce_command(peer, topic, count // 10, f"acks={acks}")])
        words = "no replication" if acks == "1" else f"acks={acks}"
        command = _produce_command(peer, topic, count, f"acks={acks}")
        figures |= _loads(peer, f"one producer, {words}", [command], count)
    return figures


def three_producers(peer: RunningPeer, turn: int, scale: str) -> Figures:
    topic, count = _topic(peer, f"three-{turn}"), MESSAGES[scale] // 3
    run_loads([_produce_command(peer, topic, count // 10, "acks=1")])
    commands = [_produce_command(peer, topic, count, "acks=1") for _ in range(3)]
    return _loads(peer, "three producers", commands, 3 * count)


def consumers(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """Each consumer reads the whole topic, as in the post."""
    count = MESSAGES[scale]
    topic = "consumed"
    if turn == 0:
        run_loads([_produce_command(peer, _topic(peer, topic), count, "acks=1")])
    figures = _loads(peer, "one consumer", [_consume_command(peer, topic, count)], count)
    commands = [_consume_command(peer, topic, count) for _ in range(3)]
    return figures | _loads(peer, "three consumers", commands, 3 * count)


def producer_and_consumer(peer: RunningPeer, turn: int, scale: str) -> Figures:
    topic, count = _topic(peer, f"both-{turn}"), MESSAGES[scale]
    commands = [
        _produce_command(peer, topic, count, "acks=1"),
        _consume_command(peer, topic, count),
    ]
    return _loads(peer, "producer and consumer", commands, count)


ROWS: dict[str, Callable[[RunningPeer, int, str], Figures]] = {
    "kreps-producer": one_producer,
    "kreps-3-producers": three_producers,
    "kreps-consumers": consumers,
    "kreps-both": producer_and_consumer,
    "latency": latency,
}

"""Jay Kreps's table of 2014, "Benchmarking Apache Kafka: 2 Million Writes Per Second", by name.

100-byte messages, six partitions.  The rows without replicas run on one broker, those with three
replicas on three brokers of this machine: "3x async" is acks=1, "3x sync" acks=all.
"""

from .harness import run_loads
from .loads import consume_command, produce_command
from .peers.peer import RunningPeer
from .plain_writes import run_controlled
from .row import MESSAGES, Figures, Row
from .rows import latency
from .topics import create_ready_topic

PARTITIONS = 6
MESSAGE_BYTES = 100
PRODUCER = ("linger.ms=5",)


def _loads(
    peer: RunningPeer,
    title: str,
    commands: list[list[object]],
    messages: int,
    *,
    written: int,
) -> Figures:
    """Runs all at once; the sum of their rates, and the brokers' cost for all bytes.

    `written` are the messages that will be new to the brokers.
    """
    written_bytes = written * MESSAGE_BYTES * peer.peer.brokers
    done = run_controlled(peer, commands, written_bytes=written_bytes)
    return {title: (messages / done.seconds, "msg/s", "more")} | done.costs(f"{title}, broker")


def _produce(peer: RunningPeer, topic: str, count: int, *settings: str) -> list[object]:
    return produce_command(peer, topic, count, MESSAGE_BYTES, *PRODUCER, *settings)


def _topic(peer: RunningPeer, name: str) -> str:
    """Six partitions, as many replicas as there are brokers."""
    create_ready_topic(peer, name, PARTITIONS, replicas=peer.peer.brokers)
    return name


def _words(peer: RunningPeer) -> str:
    return f", {peer.peer.brokers} replicas" if peer.peer.brokers > 1 else ""


def one_producer(peer: RunningPeer, turn: int, scale: str) -> Figures:
    figures: Figures = {}
    is_cluster = peer.peer.brokers > 1
    count = MESSAGES[scale]
    for acks in ("1", "all") if is_cluster else ("1", "0", "all"):
        topic = _topic(peer, f"one-{acks}-{turn}")
        run_loads([_produce(peer, topic, count // 10, f"acks={acks}")])
        words = f"{_words(peer)}, acks={acks}"
        if acks == "1" and not is_cluster:
            words = ", no replication"
        command = _produce(peer, topic, count, f"acks={acks}")
        figures |= _loads(peer, f"one producer{words}", [command], count, written=count)
    return figures


def three_producers(peer: RunningPeer, turn: int, scale: str) -> Figures:
    topic, count = _topic(peer, f"three-{turn}"), MESSAGES[scale] // 3
    run_loads([_produce(peer, topic, count // 10, "acks=1")])
    commands = [_produce(peer, topic, count, "acks=1") for _ in range(3)]
    return _loads(peer, f"three producers{_words(peer)}", commands, 3 * count, written=3 * count)


def consumers(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """Each consumer reads the whole topic, as in the post."""
    count, topic = MESSAGES[scale], "consumed"
    if turn == 0:
        run_loads([_produce(peer, _topic(peer, topic), count, "acks=1")])
    figures = _loads(peer, "one consumer", [consume_command(peer, topic, count)], count, written=0)
    commands = [consume_command(peer, topic, count) for _ in range(3)]
    return figures | _loads(peer, "three consumers", commands, 3 * count, written=0)


def producer_and_consumer(peer: RunningPeer, turn: int, scale: str) -> Figures:
    topic, count = _topic(peer, f"both-{turn}"), MESSAGES[scale]
    commands = [_produce(peer, topic, count, "acks=1"), consume_command(peer, topic, count)]
    return _loads(peer, f"producer and consumer{_words(peer)}", commands, count, written=count)


ROWS = {
    "kreps-producer": Row(one_producer, 15),
    "kreps-3-producers": Row(three_producers, 7),
    "kreps-consumers": Row(consumers, 10, needs_first_turn=True),
    "kreps-both": Row(producer_and_consumer, 8),
    "kreps-producer-3x": Row(one_producer, 30, brokers=3),
    "kreps-3-producers-3x": Row(three_producers, 15, brokers=3),
    "kreps-both-3x": Row(producer_and_consumer, 15, brokers=3),
    "latency": Row(latency, 13),
}

"""The load programs as commands, in the protocol of the peer that they load."""

from pathlib import Path

from .harness import build_load_program
from .peers.install import need_file, need_program
from .peers.peer import RunningPeer

# Answers outstanding where a client does not batch: about what librdkafka has in flight.
UNBATCHED_IN_FLIGHT = 4096


def kafka_load() -> Path:
    """The load on librdkafka."""
    need_file("/usr/include/librdkafka/rdkafka.h", debian="librdkafka-dev")
    return build_load_program("load_client", ("rdkafka",))


def raw_load(name: str) -> Path:
    """A load on sockets."""
    need_program("gcc", debian="gcc libc6-dev")
    return build_load_program(name)


def produce_command(
    peer: RunningPeer, topic: str, count: int, size: int, *settings: str
) -> list[object]:
    """`count` messages of `size` bytes as fast as they go; the settings are librdkafka's.

    Redis and NATS get them one by one over a socket, 4,096 in flight, and know no settings.
    """
    if peer.protocol == "kafka":
        return [kafka_load(), "produce", peer.bootstrap, topic, count, size, *settings]
    command = [raw_load("stream_load"), peer.protocol, "produce", "127.0.0.1", peer.port, topic]
    return [*command, count, size, UNBATCHED_IN_FLIGHT]


def consume_command(peer: RunningPeer, topic: str, count: int) -> list[object]:
    """`count` messages from the beginning of the topic."""
    if peer.protocol == "kafka":
        return [kafka_load(), "consume", peer.bootstrap, topic, count, 0]
    command = [raw_load("stream_load"), peer.protocol, "consume", "127.0.0.1", peer.port, topic]
    return [*command, count]


def request_command(
    peer: RunningPeer, topic: str, count: int, in_flight: int, *batch: int
) -> list[object]:
    """`count` prebuilt requests of one 100-byte record, or of `batch` (records, bytes a record)."""
    if peer.protocol == "kafka":
        program = raw_load("small_requests")
        return [program, "127.0.0.1", peer.port, topic, count, in_flight, 1, *batch]
    command = [raw_load("stream_load"), peer.protocol, "produce", "127.0.0.1", peer.port, topic]
    return [*command, count, 100, in_flight]

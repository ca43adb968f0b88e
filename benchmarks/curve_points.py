"""The curves of benchmarks/curves.py: how much work, and what one point of it costs."""

import contextlib
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headrace.core.clock import SystemClock
from headrace.core.log import Log
from headrace.core.log_config import LogConfig
from headrace.core.worker import InlineWorker

from .frames import batch_of, produce_frame
from .harness import build_load_program, run_load, run_loads
from .peers.install import PeerUnavailableError
from .peers.peer import RunningPeer
from .resident_memory import touch_for
from .topics import create_ready_topic, create_topic

# figure, with its unit -> value
Points = dict[str, float]

PRODUCED_BYTES = {"smoke": 1 << 20, "full": 400_000_000}
MESSAGES = {"smoke": 5_000, "full": 2_000_000}
FAN_OUT_MESSAGES = {"smoke": 2_000, "full": 200_000}
REQUESTS = {"smoke": 200, "full": 20_000}
# Enough for several rounds of deletion and of compaction beside the load.
HOUSEKEEPING_MESSAGES = {"smoke": 50_000, "full": 6_000_000}
COMPACTED_SEGMENT_BYTES = {"smoke": 1 << 20, "full": 16 << 20}
HOUSEKEEPING = (
    ("log.retention.check.interval.ms", "200"),
    ("log.cleaner.backoff.ms", "200"),
)
# Large enough that no measured append rolls, small enough to reserve 10,000 times.
SEGMENT_BYTES = 16 << 20
LOOK_UPS = {"smoke": 50, "full": 5_000}
# One-message batches are requests, not bytes: fewer of them tell as much.
FEWEST_MESSAGES = 500


@dataclass(frozen=True)
class Curve:
    """`works` are the points by scale; one of the callables measures a point."""

    question: str
    axis: str
    works: dict[str, tuple[int, ...]]
    on_broker: Callable[[RunningPeer, int, str], Points] | None = None
    # Kafka's broker settings; kfake takes none and does not play such a curve.
    settings: tuple[tuple[str, str], ...] = ()
    on_folder: Callable[[Path, int, str], Points] | None = None


def _produced(
    peer: RunningPeer, topic: str, count: int, size: int, *settings: str
) -> tuple[float, float, float]:
    """(messages a second, CPU seconds a GB, CPU microseconds a message) after a warm-up."""
    program = build_load_program("load_client", ("rdkafka",))
    load = (peer.bootstrap, topic)
    run_load(program, "produce", *load, max(1, count // 10), size, "linger.ms=5", *settings)
    touch_for(count * size)
    before = peer.cpu_s()
    result = run_load(program, "produce", *load, count, size, "linger.ms=5", *settings)
    cpu_s = peer.cpu_s() - before
    return (
        result["messages"] / result["seconds"],
        cpu_s / result["bytes"] * 1e9,
        cpu_s / count * 1e6,
    )


def over_partitions(peer: RunningPeer, work: int, scale: str) -> Points:
    topic = f"partitions-{work}"
    create_topic(peer, topic, work)
    rate, cpu_per_gb, _ = _produced(peer, topic, MESSAGES[scale], 100)
    return {"broker [CPU-s/GB]": cpu_per_gb, "rate [msg/s]": rate}


def over_message_size(peer: RunningPeer, work: int, scale: str) -> Points:
    topic = f"size-{work}"
    create_topic(peer, topic)
    count = min(MESSAGES[scale], max(50, PRODUCED_BYTES[scale] // work))
    rate, cpu_per_gb, _ = _produced(peer, topic, count, work)
    return {"broker [CPU-s/GB]": cpu_per_gb, "rate [MB/s]": rate * work / 1e6}


def over_batch_size(peer: RunningPeer, work: int, scale: str) -> Points:
    topic = f"batch-{work}"
    create_topic(peer, topic)
    count = max(FEWEST_MESSAGES, MESSAGES[scale] * min(work, 1000) // 1000)
    settings = (f"batch.num.messages={work}", "batch.size=2000000", "message.max.bytes=2000000")
    rate, _, cpu_per_message = _produced(peer, topic, count, 100, *settings)
    return {"broker [CPU-us/message]": cpu_per_message, "rate [msg/s]": rate}


def over_consumers(peer: RunningPeer, work: int, scale: str) -> Points:
    """All read the same topic, each the whole of it, at once."""
    program = build_load_program("load_client", ("rdkafka",))
    count, topic = FAN_OUT_MESSAGES[scale], "fan-out"
    command = (program, "consume", peer.bootstrap, topic, count, 0)
    create_topic(peer, topic)
    if not _is_filled(peer):
        run_load(program, "produce", peer.bootstrap, topic, count, 100, "linger.ms=5")
        # The first member of a group makes the broker create its topic of offsets.
        run_load(*command)
    before = peer.cpu_s()
    started = time.perf_counter()
    results = run_loads([list(command) for _ in range(work)])
    seconds = time.perf_counter() - started
    moved = sum(result["bytes"] for result in results)
    cpu_s = peer.cpu_s() - before
    return {
        "broker [CPU-s/GB]": cpu_s / moved * 1e9,
        "rate with start-up [MB/s]": moved / seconds / 1e6,
    }


_filled: set[int] = set()


def _is_filled(peer: RunningPeer) -> bool:
    """Whether this very broker process has the topic's messages; says yes from then on."""
    was_filled = peer.processes[0].pid in _filled
    _filled.add(peer.processes[0].pid)
    return was_filled


def over_retention(peer: RunningPeer, work: int, scale: str) -> Points:
    """The same load twice: all is kept, and all but the two newest segments is deleted."""
    small = {"segment.bytes": str(work << 20)}
    kept = {"retention.bytes": str(2 * work << 20), **small}
    return _beside_housekeeping(peer, f"retention-{work}", scale, plain=small, busy=kept)


def over_compaction(peer: RunningPeer, work: int, scale: str) -> Points:
    """The same load twice, `work` keys in turn: without and with compaction running."""
    small = {"segment.bytes": str(COMPACTED_SEGMENT_BYTES[scale])}
    compacted = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", **small}
    topic = f"compaction-{work}"
    return _beside_housekeeping(peer, topic, scale, f"keys={work}", plain=small, busy=compacted)


def _beside_housekeeping(
    peer: RunningPeer,
    topic: str,
    scale: str,
    *settings: str,
    plain: dict[str, str],
    busy: dict[str, str],
) -> Points:
    points: Points = {}
    count = HOUSEKEEPING_MESSAGES[scale]
    for words, configs in (("without", plain), ("beside", busy)):
        name = f"{topic}-{words}"
        create_topic(peer, name, configs=configs)
        rate, cpu_per_gb, _ = _produced(peer, name, count, 100, *settings)
        points[f"{words} [CPU-s/GB]"] = cpu_per_gb
        points[f"{words} [msg/s]"] = rate
        points[f"{words}: on disk [MiB]"] = _topic_mib(peer, name)
    # What the question is about comes first: it gets the bars.
    return dict(sorted(points.items()))


def _topic_mib(peer: RunningPeer, topic: str) -> float:
    """MiB of the .log files of its partitions, as long as they say they are."""
    sizes = [0]
    for path in peer.data.rglob("*.log"):
        if path.parent.name.rpartition("-")[0] == topic:
            with contextlib.suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
    return sum(sizes) / (1 << 20)


def over_connections(peer: RunningPeer, work: int, scale: str) -> Points:
    """All connections send one small Produce request at once, and wait for all answers."""
    create_ready_topic(peer, "connections")
    frame = produce_frame(7, batch_of(1), "connections")
    rounds = max(2, REQUESTS[scale] // work)
    sockets: list[socket.socket] = []
    try:
        for _ in range(work):
            sockets.append(socket.create_connection(("127.0.0.1", peer.port), timeout=30))
        _exchange(sockets, frame)
        before, started = peer.cpu_s(), time.perf_counter()
        for _ in range(rounds):
            _exchange(sockets, frame)
        seconds, cpu_s = time.perf_counter() - started, peer.cpu_s() - before
    finally:
        for each in sockets:
            each.close()
    requests = rounds * work
    return {
        "broker [CPU-us/request]": cpu_s / requests * 1e6,
        "rate [requests/s]": requests / seconds,
    }


def _exchange(sockets: list[socket.socket], frame: bytes) -> None:
    for each in sockets:
        each.sendall(frame)
    for each in sockets:
        answer = each.recv(4096)
        if not answer:
            raise PeerUnavailableError("the broker closed a connection of many")


def over_segments(folder: Path, work: int, scale: str) -> Points:
    """A log of many one-batch segments, no broker around it.

    Its files are in memory where the machine has a folder for that: to roll syncs four of them, and
    10,000 rolls are to be waited for.  What is asked is not about the disk.
    """
    log = Log.open(
        folder / "clicks-0",
        topic="clicks",
        partition=0,
        config=LogConfig(segment_bytes=SEGMENT_BYTES, segment_index_bytes=1024),
        clock=SystemClock(),
        worker=InlineWorker(),
        is_clean=True,
    )
    batch, now_ms = batch_of(10), SystemClock().now_ms()
    for _ in range(work - 1):
        log.append_as_leader(batch, leader_epoch=1)
        log.roll()
    log.append_as_leader(batch, leader_epoch=1)
    end, count = log.log_end_offset, LOOK_UPS[scale]
    offsets = [random.Random(1).randrange(end) for _ in range(count)]

    def read(offset: int) -> object:
        return log.read_records(start_offset=offset, max_bytes=1, upper_bound_offset=end)

    points = {"read at an offset [us]": _microseconds(read, offsets)}
    stamps = [now_ms + 1_000_000] * count
    points["look up a late time [us]"] = _microseconds(log.find_offset_by_timestamp, stamps)
    points["append [us]"] = _microseconds(
        lambda _: log.append_as_leader(batch, leader_epoch=1), [0] * count
    )
    log.close(clean=False)
    return points


def _microseconds(call: Callable[[int], object], arguments: list[int]) -> float:
    """The median of ten runs over a tenth each, so that one time slice of another is no matter."""
    taken = []
    share = max(1, len(arguments) // 10)
    for first in range(0, len(arguments), share):
        some = arguments[first : first + share]
        started = time.perf_counter()
        for argument in some:
            call(argument)
        taken.append((time.perf_counter() - started) / len(some))
    return sorted(taken)[len(taken) // 2] * 1e6


CURVES = {
    "partitions": Curve(
        "does a message cost more when a topic has many partitions?",
        "partitions",
        {"smoke": (1, 20), "full": (1, 10, 100, 500, 1000, 2000)},
        on_broker=over_partitions,
    ),
    "connections": Curve(
        "does a request cost more when many clients send?",
        "connections",
        {"smoke": (1, 50), "full": (1, 10, 100, 500, 1000, 2000)},
        on_broker=over_connections,
    ),
    "message-size": Curve(
        "what does a gigabyte cost in small and in large messages?",
        "bytes a message",
        {"smoke": (10, 10_000), "full": (10, 100, 1000, 10_000, 100_000, 900_000)},
        on_broker=over_message_size,
    ),
    "batch-size": Curve(
        "what does a message cost in small and in large batches?",
        "messages a batch",
        # 9,000 of 100 bytes are as large as the default max.message.bytes lets a batch be.
        {"smoke": (1, 100), "full": (1, 10, 100, 1000, 9000)},
        on_broker=over_batch_size,
    ),
    "segments": Curve(
        "do an append and a look-up cost more in a log of many segments?",
        "segments",
        {"smoke": (1, 50), "full": (1, 10, 100, 1000, 10_000)},
        on_folder=over_segments,
    ),
    "retention": Curve(
        "does producing cost more while old segments are deleted, every 0.2 s?",
        "MiB a segment, two kept",
        {"smoke": (1,), "full": (1, 4, 16, 64)},
        on_broker=over_retention,
        settings=HOUSEKEEPING,
    ),
    "compaction": Curve(
        "does producing cost more while the topic is compacted, every 0.2 s?",
        "keys",
        {"smoke": (10,), "full": (10, 1000, 100_000, 1_000_000)},
        on_broker=over_compaction,
        settings=HOUSEKEEPING,
    ),
    "fan-out": Curve(
        "does a consumer cost more when others read the same topic?",
        "consumers",
        {"smoke": (1, 4), "full": (1, 2, 4, 8, 16, 32, 64)},
        on_broker=over_consumers,
    ),
}

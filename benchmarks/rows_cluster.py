"""Rows of three brokers: what three replicas cost, and what a client sees when a broker goes.

The load of the fail-over rows is one confluent-kafka producer, acks=all and idempotent, whose
`socket.timeout.ms` is low: a broker that is stopped keeps it for that long, and for the second
after which librdkafka looks again.  It keeps connections to all brokers: one that has only the
lost leader's asks nobody for a second, though it connects to another at once.
"""

import signal
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from headrace.api.cli.broker_connection import BrokerConnection, BrokerUnreachableError
from headrace.api.wire.api_keys import ApiKey

from .harness import run_loads
from .loads import produce_command
from .paced import paced_latencies
from .peers.install import PeerUnavailableError
from .peers.members import Members
from .peers.peer import RunningPeer
from .plain_writes import run_controlled
from .resident_memory import touch_for
from .row import BIG_MESSAGES, MESSAGES, Figures, Row
from .rows import LATENCY_SECONDS
from .topics import create_ready_topic, create_topic

KILLS = {"smoke": 1, "quick": 5, "full": 20}
PAUSES = {"smoke": 1, "quick": 2, "full": 5}
PARTITIONS = {"smoke": 50, "quick": 1000, "full": 1000}
IDLE_SECONDS = {"smoke": 1.0, "quick": 5.0, "full": 10.0}
MISSED_BYTES = {"smoke": 20_000_000, "quick": 300_000_000, "full": 1_000_000_000}
SETTLED_WITHIN_S = 120.0
DECISIONS = {"smoke": 20, "quick": 300, "full": 2000}
LOADED_S = 1.0
PACE_S = 0.01
# No request of these loads takes as long where all brokers are well.  librdkafka looks once a
# second for requests whose time is over: that much comes on top, and no broker can shorten it.
SOCKET_TIMEOUT_MS = 300
TOPIC_RESOURCE = 2
# Brokers that die are what these rows are about: librdkafka need not say so.
SILENT = 0
PAUSED_S = 4.0


def produce_replicated(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """Three replicas, acks=all: 100 B with and without idempotence, and 1 KB in large batches."""
    figures: Figures = {}
    big = ("linger.ms=50", "batch.size=1000000", "batch.num.messages=1000", "acks=all")
    for words, size, count, settings in (
        ("100 B acks=all", 100, MESSAGES[scale], ("linger.ms=5", "acks=all")),
        ("100 B idempotent", 100, MESSAGES[scale], ("linger.ms=5", "enable.idempotence=true")),
        ("1 KB acks=all", 1000, BIG_MESSAGES[scale], big),
    ):
        topic = f"replicated-{words.replace(' ', '-').replace('=', '-')}-{turn}"
        create_ready_topic(peer, topic, 1, replicas=3)
        run_loads([produce_command(peer, topic, count // 10, size, *settings)])
        command = produce_command(peer, topic, count, size, *settings)
        done = run_controlled(peer, [command], written_bytes=3 * count * size)
        figures[f"3 replicas, {words}"] = done.messages_per_s
        figures |= done.costs(f"3 replicas, {words}, brokers")
    return figures


def latency_replicated(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """1,000 unbatched messages a second, acks=all, three replicas, from due to seen."""
    topic = f"latency-3-{turn}"
    create_ready_topic(peer, topic, 1, replicas=3)
    topic = f"paced-3-{turn}"
    create_topic(peer, topic, 1, replicas=3)
    wait_until_in_sync(peer, topic, 1)
    total = int(1000 * LATENCY_SECONDS[scale])
    taken_s = paced_latencies(peer, topic, total)
    measured_ms = sorted(1000 * seconds for seconds in taken_s[total // 10 :])
    return {
        f"3 replicas, end to end at 1,000 msg/s, p{percent}": (
            measured_ms[int(percent / 100 * len(measured_ms))],
            "ms",
            "less",
        )
        for percent in (50, 99)
    }


class Load:
    """Records to one partition, the next one when one is acknowledged, or two milliseconds later;
    when each was, and after how long.  As a context it begins with the first acknowledgement:
    librdkafka looks for a producer id, where no broker was there yet, only every 0.5 s."""

    def __init__(self, peer: RunningPeer, topic: str) -> None:
        from confluent_kafka import Producer

        self.acknowledged_s: list[float] = []
        self.latencies_s: list[float] = []
        self.errors: list[str] = []
        self._topic = topic
        self._stop = threading.Event()
        self._is_heard = threading.Event()
        self._producer: Any = Producer(
            {
                "bootstrap.servers": peer.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 0,
                "socket.timeout.ms": SOCKET_TIMEOUT_MS,
                "enable.sparse.connections": False,
                "request.timeout.ms": 1_000,
                "socket.connection.setup.timeout.ms": 1_000,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 100,
                "retry.backoff.ms": 20,
                "retry.backoff.max.ms": 100,
                "topic.metadata.refresh.fast.interval.ms": 50,
                "log_level": SILENT,
            }
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _note(self, error: Any, message: Any) -> None:
        if error is None:
            self.acknowledged_s.append(time.perf_counter())
            self.latencies_s.append(message.latency())
            self._is_heard.set()
        else:
            self.errors.append(error.str())

    def _run(self) -> None:
        while not self._stop.is_set():
            self._producer.produce(self._topic, b"x" * 100, partition=0, on_delivery=self._note)
            self._producer.poll(0.002)

    def finish(self) -> None:
        """Stop sending and wait for every acknowledgement."""
        self._end_thread()
        if self._producer.flush(60):
            raise PeerUnavailableError(f"{self._topic}: records were never acknowledged")

    def _end_thread(self) -> None:
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Self:
        if not self._is_heard.wait(SETTLED_WITHIN_S):
            self.__exit__()
            raise PeerUnavailableError(f"{self._topic}: nothing acknowledged")
        return self

    def __exit__(self, *_: object) -> None:
        self._end_thread()
        # Where the row failed, brokers may be gone: nothing waits for them.
        self._producer.purge()

    def longest_gap_s(self, since_s: float) -> float:
        """The longest pause between acknowledgements from `since_s` to now."""
        moments = [since_s, *(each for each in self.acknowledged_s if each > since_s)]
        moments.append(time.perf_counter())
        return max(later - earlier for earlier, later in pairwise(moments))


@dataclass(frozen=True)
class PartitionMetadata:
    """What Metadata tells of one partition."""

    leader: int
    isrs: list[int]


def partitions_of(peer: RunningPeer, topic: str, *, first: int = 0) -> dict[int, PartitionMetadata]:
    """Metadata's partitions of a topic, from the first broker that answers; {} where none does.

    Broker `first` is asked first: one that has just come back may not know yet what was decided
    while it was away.
    """
    asked = _ask_for([topic])
    for port in peer.ports[first:] + peer.ports[:first]:
        try:
            connection = BrokerConnection("127.0.0.1", port, timeout_s=5)
        except BrokerUnreachableError:
            continue
        try:
            (found,) = connection.request(ApiKey.METADATA, asked, max_version=9)["topics"]
        except BrokerUnreachableError:
            continue
        finally:
            connection.close()
        return {
            part["partition_index"]: PartitionMetadata(part["leader_id"], part["isr_nodes"])
            for part in found["partitions"]
        }
    return {}


def leader_of(peer: RunningPeer, topic: str) -> int:
    """Who leads partition 0, once somebody does."""
    deadline = time.perf_counter() + SETTLED_WITHIN_S
    while time.perf_counter() < deadline:
        found = partitions_of(peer, topic).get(0)
        if found is not None and found.leader >= 0:
            return found.leader
        # Metadata has no way to wait for an election.
        time.sleep(0.01)
    raise PeerUnavailableError(f"{topic}: nobody leads it after {SETTLED_WITHIN_S:g} s")


def _ask_for(topics: list[str]) -> dict[str, Any]:
    named = [{"name": topic} for topic in topics]
    return {"topics": named, "allow_auto_topic_creation": False}


def wait_until_in_sync(
    peer: RunningPeer,
    topic: str,
    count: int,
    copies: int = 3,
    *,
    first: int = 0,
    pace_s: float = PACE_S,
) -> float:
    """Seconds until every partition has a leader and `copies` in-sync replicas, as the broker says
    that `partitions_of` asks."""
    started = time.perf_counter()
    while True:
        found = partitions_of(peer, topic, first=first)
        if sum(part.leader >= 0 and len(part.isrs) >= copies for part in found.values()) == count:
            return time.perf_counter() - started
        if time.perf_counter() > started + SETTLED_WITHIN_S:
            led = sum(part.leader >= 0 for part in found.values())
            in_sync = sum(len(part.isrs) >= copies for part in found.values())
            seen = f"{led} led and {in_sync} in sync of {count}"
            raise PeerUnavailableError(f"{topic}: {seen} after {SETTLED_WITHIN_S:g} s")
        # Metadata has no way to wait for a change.
        time.sleep(pace_s)


def _quantiles(title: str, gaps_s: list[float]) -> Figures:
    ordered = sorted(gaps_s)
    last = len(ordered) - 1
    return {
        f"{title}, p50": (ordered[last // 2], "s", "less"),
        f"{title}, max": (ordered[last], "s", "less"),
    }


def fail_over(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """kill -9 and SIGSTOP of the leader, again and again: the producer's longest gap."""
    topic = f"failover-{turn}"
    create_ready_topic(peer, topic, 1, replicas=3)
    killed: list[float] = []
    paused: list[float] = []
    with Members(peer) as members, Load(peer, topic) as load:
        for _ in range(KILLS[scale]):
            time.sleep(LOADED_S)
            leader = leader_of(peer, topic)
            struck_s = time.perf_counter()
            members.end(leader)
            time.sleep(LOADED_S)
            members.start(leader)
            wait_until_in_sync(peer, topic, 1)
            killed.append(load.longest_gap_s(struck_s))
        for _ in range(PAUSES[scale]):
            time.sleep(LOADED_S)
            leader = leader_of(peer, topic)
            struck_s = time.perf_counter()
            with members.paused(leader):
                time.sleep(PAUSED_S)
            wait_until_in_sync(peer, topic, 1)
            paused.append(load.longest_gap_s(struck_s))
        load.finish()
    if load.errors:
        raise PeerUnavailableError(f"fail-over: {len(load.errors)} sends failed: {load.errors[0]}")
    return _quantiles("kill -9 of the leader, longest gap", killed) | _quantiles(
        "SIGSTOP of the leader, longest gap", paused
    )


def rolling_restart(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """Every broker stopped by SIGTERM and started again under load."""
    topic = f"rolling-{turn}"
    create_ready_topic(peer, topic, 1, replicas=3)
    with Members(peer) as members, Load(peer, topic) as load:
        started_s = time.perf_counter()
        for number in range(3):
            time.sleep(LOADED_S)
            members.end(number, signal.SIGTERM)
            members.start(number)
            wait_until_in_sync(peer, topic, 1)
        gap_s = load.longest_gap_s(started_s)
        load.finish()
    return {
        "rolling restart, longest gap": (gap_s, "s", "less"),
        "rolling restart, client errors": (float(len(load.errors)), "errors", "less"),
    }


def rejoin(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """A follower that missed much, from the start of its process until it is in sync again, while
    a producer goes on with another topic."""
    topic, other = f"rejoin-{turn}", f"rejoin-beside-{turn}"
    create_ready_topic(peer, topic, 1, replicas=3)
    create_ready_topic(peer, other, 1, replicas=3)
    with Members(peer) as members:
        leaders = leader_of(peer, topic), leader_of(peer, other)
        follower = next(number for number in range(3) if number not in leaders)
        members.end(follower)
        count = MISSED_BYTES[scale] // 1000
        run_loads([produce_command(peer, topic, count, 1000, "linger.ms=20", "acks=all")])
        with Load(peer, other) as load:
            time.sleep(2 * LOADED_S)
            before = len(load.latencies_s)
            touch_for(MISSED_BYTES[scale])  # which the follower is about to write, as a load
            since = len(load.latencies_s)
            started_s = time.perf_counter()
            members.start(follower)
            # Each look is a connection of its own, which a leader's other clients wait for.
            wait_until_in_sync(peer, topic, 1, first=leaders[0], pace_s=5 * PACE_S)
            taken_s = time.perf_counter() - started_s
            load.finish()
    beside = _p99(load.latencies_s[since:]) / _p99(load.latencies_s[before // 4 : before])
    return {
        "started and caught up with what was missed": (
            MISSED_BYTES[scale] / 1e6 / taken_s,
            "MB/s",
            "more",
        ),
        "p99 of another topic's producer meanwhile": (beside, "x", "less"),
    }


def _p99(taken: list[float]) -> float:
    return sorted(taken)[int(0.99 * len(taken))]


def decide(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """One decision at a time that a majority of brokers has on disk: a topic's setting, changed
    over one connection to the controller."""
    topic = f"decided-{turn}"
    create_topic(peer, topic, 1, replicas=3)
    wait_until_in_sync(peer, topic, 1)
    with closing(BrokerConnection("127.0.0.1", peer.port, timeout_s=10)) as connection:
        controller = connection.request(ApiKey.METADATA, _ask_for([]))["controller_id"]
    taken_ms = []
    with closing(BrokerConnection("127.0.0.1", peer.ports[controller], timeout_s=10)) as connection:
        for number in range(DECISIONS[scale]):
            config = {"name": "retention.ms", "config_operation": 0, "value": str(10**9 + number)}
            resource = {
                "resource_type": TOPIC_RESOURCE,
                "resource_name": topic,
                "configs": [config],
            }
            asked = {"resources": [resource], "validate_only": False}
            started_s = time.perf_counter()
            (told,) = connection.request(ApiKey.INCREMENTAL_ALTER_CONFIGS, asked)["responses"]
            taken_ms.append(1000 * (time.perf_counter() - started_s))
            if told["error_code"]:
                raise PeerUnavailableError(f"not decided: {told['error_message']}")
    return {
        "a decision of three brokers, p50": (sorted(taken_ms)[len(taken_ms) // 2], "ms", "less"),
        "a decision of three brokers, p99": (_p99(taken_ms), "ms", "less"),
    }


def replicated_partitions(peer: RunningPeer, turn: int, scale: str) -> Figures:
    """Many partitions of three replicas: made and in sync, left alone, led again after a kill."""
    count, topic = PARTITIONS[scale], f"many-3-{turn}"
    title = f"{count:,} partitions x 3"
    figures: Figures = {}
    with Members(peer) as members:
        before_mib = members.rss_mib()
        started = time.perf_counter()
        create_topic(peer, topic, count, replicas=3)
        wait_until_in_sync(peer, topic, count)
        figures[f"{title}, created and in sync"] = (time.perf_counter() - started, "s", "less")
        time.sleep(LOADED_S)
        grown_kib = (members.rss_mib() - before_mib) * 1024 / (3 * count)
        figures[f"{title}, RSS a replica"] = (grown_kib, "KiB", "less")
        cpu_s = members.cpu_s()
        time.sleep(IDLE_SECONDS[scale])
        share = 100 * (members.cpu_s() - cpu_s) / IDLE_SECONDS[scale]
        figures[f"{title}, idle, all brokers"] = (share, "% of a core", "less")
        struck_s = time.perf_counter()
        members.end(2)
        while not _are_led(partitions_of(peer, topic), count, without=2):
            if time.perf_counter() > struck_s + SETTLED_WITHIN_S:
                raise PeerUnavailableError(f"{topic}: not all led again")
            # Metadata has no way to wait for an election.
            time.sleep(0.005)
        led_s = time.perf_counter() - struck_s
        figures[f"{title}, led again after kill -9"] = (led_s, "s", "less")
        members.start(2)
        figures[f"{title}, in sync again"] = (wait_until_in_sync(peer, topic, count), "s", "less")
    return figures


def _are_led(found: dict[int, PartitionMetadata], count: int, *, without: int) -> bool:
    return sum(part.leader >= 0 and part.leader != without for part in found.values()) == count


ROWS = {
    "replicated-produce": Row(produce_replicated, 60, brokers=3),
    "replicated-latency": Row(latency_replicated, 13, brokers=3),
    "failover": Row(fail_over, 40, brokers=3, ends_brokers=True),
    "rolling-restart": Row(rolling_restart, 20, brokers=3, ends_brokers=True),
    "rejoin": Row(rejoin, 60, brokers=3, ends_brokers=True),
    "decision": Row(decide, 10, brokers=3),
    "replicated-partitions": Row(replicated_partitions, 40, brokers=3, ends_brokers=True),
}

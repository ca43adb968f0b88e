"""The loads of `headrace bench`: produce, consume, end to end; over our own codec, no C client.

Open loop: where a rate is asked for, every request has a moment at which it is due, and its latency
counts from there, so that a stall of the broker is paid for by every record that it held up.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ...core.batch_encoder import encode_values
from ...core.record_batch import RecordBatch, iter_batches
from ..wire.api_keys import ApiKey
from .admin_client import EARLIEST, LATEST, AdminClient, TopicInfo, check
from .bench_stats import Latencies
from .broker_connection import BrokerConnection
from .common import CliError

# Later versions name topics by id, which the broker resolves just the same.
PRODUCE_MAX_VERSION = 9
FETCH_MAX_VERSION = 12
FETCH_BYTES = 1 << 20
LONG_POLL_MS = 500
IDLE_LIMIT_S = 10.0

OnProgress = Callable[[int, int], None]


@dataclass(slots=True)
class Result:
    """What a load did."""

    records: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)


@dataclass(frozen=True, slots=True)
class ProduceLoad:
    """How `produce` loads: sizes in bytes, `records_per_s` 0 without limit."""

    records: int
    record_bytes: int
    batch_records: int
    acks: int
    in_flight: int
    compression: str
    records_per_s: float


def topic_info(client: AdminClient, name: str) -> TopicInfo:
    """The topic, whose partitions must all be led by one broker: a bench has one connection."""
    (topic,) = client.topics([name])
    leaders = {part.leader for part in topic.partitions}
    if len(leaders) != 1 or -1 in leaders:
        raise CliError(f"topic {name} must be led by one broker; it is led by {sorted(leaders)}")
    return topic


class Producer:
    """Sends prebuilt batches round robin over the partitions, some of them in flight."""

    def __init__(self, connection: BrokerConnection, topic: TopicInfo, load: ProduceLoad) -> None:
        self._connection = connection
        self._version = connection.version_of(ApiKey.PRODUCE, PRODUCE_MAX_VERSION)
        self._topic = topic
        self._load = load
        self._pending: deque[tuple[int, float, int]] = deque()
        self._sent_requests = 0
        self._values = [os.urandom(load.record_bytes) for _ in range(min(load.batch_records, 64))]
        self.result = Result()

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    def send_batch(self, count: int, due_s: float) -> None:
        """One request of `count` records, due at `due_s` of the clock."""
        values = [self._values[number % len(self._values)] for number in range(count)]
        records = encode_values(
            values,
            timestamp=time.time_ns() // 1_000_000,
            compression=self._load.compression,
        )
        part = self._topic.partitions[self._sent_requests % len(self._topic.partitions)]
        body = {
            "acks": self._load.acks,
            "timeout_ms": 30_000,
            "topic_data": [
                {
                    "name": self._topic.name,
                    "partition_data": [{"index": part.index, "records": records}],
                }
            ],
        }
        correlation_id = self._connection.send_request(ApiKey.PRODUCE, self._version, body)
        self._sent_requests += 1
        self.result.records += count
        self.result.size_bytes += count * self._load.record_bytes
        if self._load.acks != 0:
            self._pending.append((correlation_id, due_s, count))

    def receive_one(self) -> None:
        """The answer to the oldest request; raises AdminError where it was refused."""
        correlation_id, due_s, _ = self._pending.popleft()
        answer = self._connection.receive_answer(ApiKey.PRODUCE, self._version, correlation_id)
        for topic in answer["responses"]:
            for part in topic["partition_responses"]:
                check(part["error_code"], f"{topic['name']}-{part['index']}")
        self.result.latencies.add(time.perf_counter() - due_s)


def run_produce(
    connection: BrokerConnection, topic: TopicInfo, load: ProduceLoad, on_progress: OnProgress
) -> Result:
    """Sends `load.records` and waits for the last answer."""
    producer = Producer(connection, topic, load)
    started = time.perf_counter()
    while producer.result.records < load.records or producer.in_flight:
        now = time.perf_counter()
        done = producer.result.records
        due_s = now
        if load.records_per_s:
            due_s = started + done / load.records_per_s
        has_room = done < load.records and producer.in_flight < load.in_flight
        if has_room and due_s <= now:
            producer.send_batch(min(load.batch_records, load.records - done), due_s)
            on_progress(producer.result.records - done, (producer.result.records - done))
        elif not producer.in_flight or (has_room and not connection.wait_readable(due_s - now)):
            # Nothing to read until the next request is due; with none in flight the wait is for it.
            connection.wait_readable(due_s - time.perf_counter())
        else:
            producer.receive_one()
    producer.result.seconds = time.perf_counter() - started
    return producer.result


class Fetcher:
    """Reads every partition from given offsets with one Fetch at a time."""

    def __init__(
        self, connection: BrokerConnection, topic: TopicInfo, offsets: dict[tuple[str, int], int]
    ) -> None:
        self._connection = connection
        self._version = connection.version_of(ApiKey.FETCH, FETCH_MAX_VERSION)
        self._topic = topic
        self._offsets = offsets
        self._correlation_id = 0

    def send_fetch(self, max_wait_ms: int) -> None:
        partitions = [
            {
                "partition": index,
                "fetch_offset": offset,
                "partition_max_bytes": FETCH_BYTES,
            }
            for (_, index), offset in self._offsets.items()
        ]
        body = {
            "replica_id": -1,
            "max_wait_ms": max_wait_ms,
            "min_bytes": 1,
            "max_bytes": 50 * FETCH_BYTES,
            "isolation_level": 0,
            "session_id": 0,
            "session_epoch": -1,
            "topics": [{"topic": self._topic.name, "partitions": partitions}],
            "forgotten_topics_data": [],
            "rack_id": "",
        }
        self._correlation_id = self._connection.send_request(ApiKey.FETCH, self._version, body)

    def receive_batches(self) -> tuple[int, int]:
        """(records, bytes of batches) of the answer; the next fetch goes on behind them."""
        count = size_bytes = 0
        for wanted_offset, batch in self.answered_batches():
            skipped = max(0, wanted_offset - batch.base_offset)
            count += max(0, batch.record_count - skipped)
            size_bytes += batch.size_bytes
        return count, size_bytes

    def answered_batches(self) -> Iterator[tuple[int, RecordBatch]]:
        """(first offset that was wanted, batch) of the answer; moves on behind each batch."""
        answer = self._connection.receive_answer(ApiKey.FETCH, self._version, self._correlation_id)
        check(answer["error_code"], f"topic {self._topic.name}")
        for topic in answer["responses"]:
            for part in topic["partitions"]:
                key = (self._topic.name, part["partition_index"])
                check(part["error_code"], f"{key[0]}-{key[1]}")
                for batch in _whole_batches(part["records"]):
                    wanted_offset = self._offsets[key]
                    self._offsets[key] = batch.next_offset
                    yield wanted_offset, batch

    def next_offset(self, partition: int) -> int:
        """Where the next fetch of `partition` begins."""
        return self._offsets[self._topic.name, partition]


def _whole_batches(records: Any) -> Any:
    return iter_batches(records) if records else ()


def run_consume(
    connection: BrokerConnection,
    client: AdminClient,
    topic: TopicInfo,
    records: int,
    on_progress: OnProgress,
) -> Result:
    """Reads `records` from the beginning; CliError if nothing comes for ten seconds."""
    fetcher = Fetcher(connection, topic, client.list_offsets([topic], EARLIEST))
    result = Result()
    started = last_seen = time.perf_counter()
    while result.records < records:
        fetcher.send_fetch(LONG_POLL_MS)
        count, size_bytes = fetcher.receive_batches()
        now = time.perf_counter()
        if count:
            last_seen = now
        elif now - last_seen > IDLE_LIMIT_S:
            raise CliError(f"{result.records} of {records} records were there, then none for 10 s")
        result.records += count
        result.size_bytes += size_bytes
        on_progress(count, size_bytes)
    result.seconds = last_seen - started
    return result


def run_end_to_end(
    producing: BrokerConnection,
    consuming: BrokerConnection,
    client: AdminClient,
    topic: TopicInfo,
    load: ProduceLoad,
    on_progress: OnProgress,
) -> Result:
    """One record a request at a fixed rate; latency from when it was due to when it was fetched.

    With one partition records come back in the order in which they were due.
    """
    if len(topic.partitions) != 1:
        raise CliError(f"topic {topic.name} needs one partition for this; it has more")
    fetcher = Fetcher(consuming, topic, client.list_offsets([topic], LATEST))
    producer = Producer(producing, topic, load)
    result = Result()
    fetcher.send_fetch(LONG_POLL_MS)
    started = time.perf_counter()
    interval_s = 1 / load.records_per_s
    while result.records < load.records:
        sent = producer.result.records
        now = time.perf_counter()
        if sent < load.records and started + sent * interval_s <= now:
            producer.send_batch(1, started + sent * interval_s)
        while producer.in_flight and producing.wait_readable(0):
            producer.receive_one()
        next_due = started + producer.result.records * interval_s
        wait_s = min(next_due - time.perf_counter(), 0.1) if sent < load.records else 0.1
        if not consuming.wait_readable(wait_s):
            continue
        count, size_bytes = fetcher.receive_batches()
        seen_s = time.perf_counter()
        for number in range(result.records, result.records + count):
            result.latencies.add(seen_s - started - number * interval_s)
        result.records += count
        result.size_bytes += size_bytes
        on_progress(count, size_bytes)
        fetcher.send_fetch(LONG_POLL_MS)
    result.seconds = time.perf_counter() - started
    return result

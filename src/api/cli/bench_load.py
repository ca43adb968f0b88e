"""The loads of `headrace bench`: produce, consume, end to end; over our own codec, no C client.

Open loop: where a rate is asked for, every request has a moment at which it is due, and its latency
counts from there, so that a stall of the broker is paid for by every record that it held up.

A load that is interrupted, or whose broker goes away, hands back what was done until then and says
in `ended_early` why it is not all.
"""

import contextlib
import os
import select
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from ...core.batch_encoder import encode_values
from ...core.errors import HeadraceError
from ...core.record_batch import RecordBatch, iter_batches
from ..wire.api_keys import ApiKey
from ..wire.error_codes import ErrorCode
from .admin_client import EARLIEST, LATEST, AdminClient, AdminError, PartitionInfo, TopicInfo, check
from .bench_stats import Latencies
from .broker_connection import BrokerConnection, BrokerUnreachableError
from .common import CliError

# Later versions name topics by id, which the broker resolves just the same.
PRODUCE_MAX_VERSION = 9
FETCH_MAX_VERSION = 12
FETCH_BYTES = 1 << 20
LONG_POLL_MS = 500
IDLE_LIMIT_S = 10.0
INTERRUPTED = "interrupted"
# Different values, so that a codec does not find the same record again and again.
MOST_VALUES, MOST_VALUE_BYTES = 64, 4 << 20
# A batch begins with its base offset and how many bytes follow behind these two.
BATCH_LENGTH, BATCH_LENGTH_AT, LOG_OVERHEAD_BYTES = struct.Struct(">i"), 8, 12
LETTERS = bytes(65 + byte % 26 for byte in range(256))

if TYPE_CHECKING:
    from typing_extensions import Buffer

OnProgress = Callable[[int, int], None]


@dataclass(slots=True)
class Result:
    """What a load did: records that were acknowledged (acks=0: sent) or read."""

    records: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)
    requests: int = 0
    wire_bytes: int = 0
    ended_early: str = ""
    # What the first records, the warm-up, took of the figures above.
    warmup: "Result | None" = None

    def without_warmup(self) -> "Result | None":
        """The figures of what came after the warm-up; None where there was none."""
        if self.warmup is None:
            return None
        return Result(
            records=self.records - self.warmup.records,
            size_bytes=self.size_bytes - self.warmup.size_bytes,
            seconds=self.seconds - self.warmup.seconds,
            latencies=Latencies(self.latencies.samples_s[len(self.warmup.latencies.samples_s) :]),
        )


@dataclass(frozen=True, slots=True)
class Payload:
    """The values that are sent, in turn; without any, the number of each record."""

    values: Sequence[bytes]
    largest_bytes: int

    @classmethod
    def of(cls, values: Sequence[bytes]) -> Self:
        return cls(values, max(map(len, values)))

    @classmethod
    def letters(cls, size_bytes: int) -> Self:
        """Random capital letters, as Kafka's own tool sends them."""
        count = max(1, min(MOST_VALUES, MOST_VALUE_BYTES // size_bytes))
        return cls.of([os.urandom(size_bytes).translate(LETTERS) for _ in range(count)])

    @classmethod
    def counting(cls, records: int) -> Self:
        return cls((), len(str(records)))

    def batch(self, first: int, count: int) -> list[bytes]:
        """The values of `count` records from number `first` on."""
        numbers = range(first, first + count)
        if not self.values:
            return [b"%d" % number for number in numbers]
        return [self.values[number % len(self.values)] for number in numbers]


@dataclass(frozen=True, slots=True)
class ProduceLoad:
    """How `produce` loads: `records_per_s` 0 is without limit, `in_flight` counts a broker."""

    records: int
    payload: Payload
    batch_records: int
    acks: int
    in_flight: int
    compression: str
    records_per_s: float
    timeout_ms: int = 30_000
    warmup_records: int = 0


@dataclass(frozen=True, slots=True)
class FetchLoad:
    """How `consume` reads; sizes in bytes."""

    records: int
    partition_bytes: int = FETCH_BYTES
    max_bytes: int = 50 * FETCH_BYTES
    min_bytes: int = 1
    max_wait_ms: int = LONG_POLL_MS
    is_from_latest: bool = False


def topic_info(client: AdminClient, name: str) -> TopicInfo:
    """The topic, every partition of which must be led by somebody."""
    try:
        (topic,) = client.topics([name])
    except AdminError as error:
        if error.code != ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            raise
        hint = f"make it with `headrace topics create {name}`"
        raise CliError(f"topic {name} does not exist: {hint}") from None
    without = [part.index for part in topic.partitions if part.leader < 0]
    if without:
        raise CliError(f"topic {name}: nobody leads partition {without[0]}")
    return topic


@contextlib.contextmanager
def kept_until_it_ends(result: Result) -> Iterator[None]:
    """Lets a load end early with what it did: by Ctrl-C, or because the broker went away.

    A failure before anything was done is a failure and no result.
    """
    try:
        yield
    except KeyboardInterrupt:
        result.ended_early = INTERRUPTED
    except HeadraceError as error:
        if not result.records:
            raise
        result.ended_early = str(error)


def _readable(connections: Sequence[BrokerConnection], timeout_s: float) -> list[BrokerConnection]:
    """Those of them on which an answer, or a part of one, has come within `timeout_s`."""
    ready, _, _ = select.select(connections, [], [], max(0.0, timeout_s))
    return ready


class Producer:
    """Sends batches round robin over the partitions, some of them in flight to each leader."""

    def __init__(
        self,
        client: AdminClient,
        topic: TopicInfo,
        load: ProduceLoad,
        on_progress: OnProgress = lambda records, size_bytes: None,
    ) -> None:
        self._topic = topic
        self._load = load
        self._on_progress = on_progress
        self._timeout_s = client.timeout_s
        self._leaders = {part.leader: client.broker(part.leader) for part in topic.partitions}
        self._versions = {
            leader: connection.version_of(ApiKey.PRODUCE, PRODUCE_MAX_VERSION)
            for leader, connection in self._leaders.items()
        }
        # (correlation id, due, records, bytes of values), the oldest first
        self._pending: dict[BrokerConnection, deque[tuple[int, float, int, int]]] = {
            connection: deque() for connection in self._leaders.values()
        }
        self._started = time.perf_counter()
        self.sent = 0
        self.result = Result()

    @property
    def in_flight(self) -> int:
        return sum(map(len, self._pending.values()))

    @property
    def has_room(self) -> bool:
        """Whether the leader of the next partition may get one more request."""
        if self.sent >= self._load.records:
            return False
        return len(self._pending[self._leaders[self._next.leader]]) < self._load.in_flight

    @property
    def _next(self) -> PartitionInfo:
        return self._topic.partitions[self.result.requests % len(self._topic.partitions)]

    def send_batch(self, count: int, due_s: float) -> None:
        """One request of `count` records, due at `due_s` of the clock."""
        values = self._load.payload.batch(self.sent, count)
        records = encode_values(
            values,
            timestamp=time.time_ns() // 1_000_000,
            compression=self._load.compression,
        )
        part = self._next
        connection = self._leaders[part.leader]
        body = {
            "acks": self._load.acks,
            "timeout_ms": self._load.timeout_ms,
            "topic_data": [
                {
                    "name": self._topic.name,
                    "partition_data": [{"index": part.index, "records": records}],
                }
            ],
        }
        version = self._versions[part.leader]
        correlation_id = connection.send_request(ApiKey.PRODUCE, version, body)
        size_bytes = sum(map(len, values))
        self.sent += count
        self.result.requests += 1
        self.result.wire_bytes += len(records)
        if self._load.acks == 0:
            self._count(count, size_bytes)
        else:
            self._pending[connection].append((correlation_id, due_s, count, size_bytes))

    def receive(self, timeout_s: float) -> bool:
        """Takes an answer from each leader that has one within `timeout_s`; whether one had."""
        waited_for = [connection for connection, pending in self._pending.items() if pending]
        ready = _readable(waited_for, timeout_s)
        for connection in ready:
            self._receive_one(connection)
        return bool(ready)

    def receive_in_time(self) -> None:
        """As `receive`; raises BrokerUnreachableError where none comes within the time-out."""
        if not self.receive(self._timeout_s):
            connection = next(each for each, pending in self._pending.items() if pending)
            reason = f"it gave no answer for {self._timeout_s:g} s"
            raise BrokerUnreachableError(connection.address, reason)

    def _receive_one(self, connection: BrokerConnection) -> None:
        correlation_id, due_s, count, size_bytes = self._pending[connection].popleft()
        version = connection.version_of(ApiKey.PRODUCE, PRODUCE_MAX_VERSION)
        answer = connection.receive_answer(ApiKey.PRODUCE, version, correlation_id)
        for topic in answer["responses"]:
            for part in topic["partition_responses"]:
                check(
                    part["error_code"],
                    f"{topic['name']}-{part['index']}",
                    part.get("error_message"),
                )
        self.result.latencies.add(time.perf_counter() - due_s)
        self._count(count, size_bytes)

    def _count(self, count: int, size_bytes: int) -> None:
        result = self.result
        result.records += count
        result.size_bytes += size_bytes
        if 0 < self._load.warmup_records <= result.records and result.warmup is None:
            seconds = time.perf_counter() - self._started
            samples = Latencies(list(result.latencies.samples_s))
            result.warmup = Result(result.records, result.size_bytes, seconds, samples)
        self._on_progress(count, size_bytes)


def run_produce(
    client: AdminClient, topic: TopicInfo, load: ProduceLoad, on_progress: OnProgress
) -> Result:
    """Sends `load.records` and waits for the last answer."""
    producer = Producer(client, topic, load, on_progress)
    started = time.perf_counter()
    with kept_until_it_ends(producer.result):
        while producer.sent < load.records or producer.in_flight:
            now = time.perf_counter()
            due_s = started + producer.sent / load.records_per_s if load.records_per_s else now
            if not producer.has_room:
                producer.receive_in_time()
            elif due_s <= now:
                producer.send_batch(min(load.batch_records, load.records - producer.sent), due_s)
            else:
                producer.receive(due_s - now)
    producer.result.seconds = time.perf_counter() - started
    return producer.result


class Fetcher:
    """Reads partitions of one leader from given offsets with one Fetch at a time."""

    def __init__(
        self,
        connection: BrokerConnection,
        topic: TopicInfo,
        offsets: dict[tuple[str, int], int],
        load: FetchLoad | None = None,
    ) -> None:
        self.connection = connection
        self._version = connection.version_of(ApiKey.FETCH, FETCH_MAX_VERSION)
        self._topic = topic
        self._offsets = offsets
        self._load = load or FetchLoad(records=0)
        self._correlation_id = 0

    def send_fetch(self, max_wait_ms: int) -> None:
        partitions = [
            {
                "partition": index,
                "fetch_offset": offset,
                "partition_max_bytes": self._load.partition_bytes,
            }
            for (_, index), offset in self._offsets.items()
        ]
        body = {
            "replica_id": -1,
            "max_wait_ms": max_wait_ms,
            "min_bytes": self._load.min_bytes,
            "max_bytes": self._load.max_bytes,
            "isolation_level": 0,
            "session_id": 0,
            "session_epoch": -1,
            "topics": [{"topic": self._topic.name, "partitions": partitions}],
            "forgotten_topics_data": [],
            "rack_id": "",
        }
        self._correlation_id = self.connection.send_request(ApiKey.FETCH, self._version, body)

    def receive_batches(self) -> tuple[int, int]:
        """(records, bytes of batches) of the answer; the next fetch goes on behind them."""
        count = size_bytes = 0
        for wanted_offset, batch in self.answered_batches():
            skipped = max(0, wanted_offset - batch.base_offset)
            count += 0 if batch.is_control else max(0, batch.record_count - skipped)
            size_bytes += batch.size_bytes
        return count, size_bytes

    def answered_batches(self) -> Iterator[tuple[int, RecordBatch]]:
        """(first offset that was wanted, batch) of the answer; moves on behind each batch."""
        answer = self.connection.receive_answer(ApiKey.FETCH, self._version, self._correlation_id)
        check(answer["error_code"], f"topic {self._topic.name}")
        for topic in answer["responses"]:
            for part in topic["partitions"]:
                key = (self._topic.name, part["partition_index"])
                check(part["error_code"], f"{key[0]}-{key[1]}")
                for batch in whole_batches(part["records"]):
                    wanted_offset = self._offsets[key]
                    self._offsets[key] = batch.next_offset
                    yield wanted_offset, batch

    def next_offset(self, partition: int) -> int:
        """Where the next fetch of `partition` begins."""
        return self._offsets[self._topic.name, partition]


def whole_batches(records: "Buffer | None") -> Iterator[RecordBatch]:
    """The batches of an answer but for the last where Kafka cut it at the size asked for."""
    view = memoryview(records or b"")
    end = 0
    while len(view) - end >= LOG_OVERHEAD_BYTES:
        (length,) = BATCH_LENGTH.unpack_from(view, end + BATCH_LENGTH_AT)
        if not 0 <= length <= len(view) - end - LOG_OVERHEAD_BYTES:
            break
        end += LOG_OVERHEAD_BYTES + length
    return iter_batches(view[:end])


def run_consume(
    client: AdminClient, topic: TopicInfo, load: FetchLoad, on_progress: OnProgress
) -> Result:
    """Reads `load.records`; ends early if nothing comes for ten seconds."""
    offsets = client.list_offsets([topic], LATEST if load.is_from_latest else EARLIEST)
    by_leader: dict[int, dict[tuple[str, int], int]] = {}
    for part in topic.partitions:
        key = (topic.name, part.index)
        by_leader.setdefault(part.leader, {})[key] = offsets[key]
    fetchers: dict[BrokerConnection, Fetcher] = {}
    for leader, of_leader in by_leader.items():
        connection = client.broker(leader)
        fetchers[connection] = Fetcher(connection, topic, of_leader, load)
    result = Result()
    started = last_seen = time.perf_counter()
    with kept_until_it_ends(result):
        for fetcher in fetchers.values():
            fetcher.send_fetch(load.max_wait_ms)
        while result.records < load.records:
            for connection in _readable(list(fetchers), IDLE_LIMIT_S):
                count, size_bytes = fetchers[connection].receive_batches()
                now = time.perf_counter()
                result.records += count
                result.size_bytes += size_bytes
                result.requests += 1
                last_seen = now if count else last_seen
                on_progress(count, size_bytes)
                if result.records < load.records:
                    fetchers[connection].send_fetch(load.max_wait_ms)
            if time.perf_counter() - last_seen > IDLE_LIMIT_S:
                wanted = f"{result.records} of {load.records} records were there"
                result.ended_early = f"{wanted}, then none for {IDLE_LIMIT_S:g} s"
                break
    result.seconds = last_seen - started
    result.wire_bytes = result.size_bytes
    return result


def run_end_to_end(
    client: AdminClient,
    consuming: BrokerConnection,
    topic: TopicInfo,
    load: ProduceLoad,
    on_progress: OnProgress,
) -> Result:
    """One record a request at a fixed rate; latency from when it was due to when it was fetched.

    With one partition records come back in the order in which they were due.
    """
    offsets = client.list_offsets([topic], LATEST)
    fetcher = Fetcher(consuming, topic, offsets)
    producer = Producer(client, topic, load)
    seen = Result()
    interval_s = 1 / load.records_per_s
    started = last_seen = time.perf_counter()
    with kept_until_it_ends(seen):
        fetcher.send_fetch(LONG_POLL_MS)
        while seen.records < load.records:
            now = time.perf_counter()
            if producer.has_room and started + producer.sent * interval_s <= now:
                producer.send_batch(1, started + producer.sent * interval_s)
            while producer.in_flight and producer.receive(0):
                pass
            is_more = producer.sent < load.records
            next_due = started + producer.sent * interval_s
            wait_s = min(next_due - time.perf_counter(), 0.1) if is_more else 0.1
            if consuming.wait_readable(wait_s):
                count, size_bytes = fetcher.receive_batches()
                now = time.perf_counter()
                last_seen = now if count else last_seen
                for number in range(seen.records, seen.records + count):
                    seen.latencies.add(now - started - number * interval_s)
                seen.records += count
                seen.size_bytes += size_bytes
                on_progress(count, size_bytes)
                fetcher.send_fetch(LONG_POLL_MS)
            if not is_more and time.perf_counter() - max(last_seen, next_due) > IDLE_LIMIT_S:
                seen.ended_early = f"{seen.records} of {load.records} records came back"
                break
    seen.seconds = time.perf_counter() - started
    seen.requests, seen.wire_bytes = producer.result.requests, producer.result.wire_bytes
    return seen

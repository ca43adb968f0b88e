"""`headrace bench failover`: how long nobody could write while a topic changed its leader.

One record a request at a fixed rate with acks=all, in an open loop.  When the leader is gone the
records that it did not answer for are sent again to the next one, so the load measures what a
program feels: the longest time without an acknowledgement, the latency of every record from when
it was due, and, read back at the end, what was lost and what came twice (no idempotence).
"""

import os
import select
import signal
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ...core.batch_encoder import encode_values
from ..wire.api_keys import ApiKey
from .admin_client import LATEST, AdminClient, AdminError, TopicInfo, check
from .bench_load import INTERRUPTED, PRODUCE_MAX_VERSION, Fetcher, OnProgress, topic_info
from .bench_stats import Latencies
from .broker_connection import BrokerConnection, BrokerUnreachableError
from .common import CliError

IN_FLIGHT = 1000
# A leader that does not answer for so long is taken for dead.
REQUEST_LIMIT_S = 2.0
# A cluster that elects has no way to say when it is done: it is asked again.
RETRY_S = 0.01
# Shorter pauses are scheduling, not an outage.
OUTAGE_S = 0.1
HEADER = struct.Struct(">qq")
NOT_OURS = -1


@dataclass(slots=True)
class FailoverResult:
    """What the run saw; an outage is (seconds since the start, seconds without an answer)."""

    records: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)
    leaders: list[int] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    sent_again: int = 0
    # None where the run ended before it could be read back.
    lost: int | None = None
    duplicated: int | None = None
    ended_early: str = ""


@dataclass(frozen=True, slots=True)
class FailoverLoad:
    """`kill_pid` (0: nobody) is killed when a third of the records is acknowledged."""

    topic: str
    records: int
    record_bytes: int
    records_per_s: float
    kill_pid: int
    give_up_s: float


class FailoverProducer:
    """Keeps its rate over one partition, whoever leads it."""

    def __init__(self, bootstrap: str, load: FailoverLoad, say: Callable[[str], None]) -> None:
        self._bootstrap = bootstrap
        self._load = load
        self._say = say
        self._run_id = time.time_ns()
        self._padding = bytes(max(0, load.record_bytes - HEADER.size))
        self._connection: BrokerConnection | None = None
        self._version = -1
        self._started = 0.0
        self._next_number = 0
        self._again: deque[int] = deque()
        self._pending: deque[tuple[int, int, float]] = deque()
        self._acked: set[int] = set()
        self._kill_pid = load.kill_pid
        self.result = FailoverResult()

    def run(self, on_progress: OnProgress) -> FailoverResult:
        """Until every record is acknowledged, or none is for `give_up_s`, or Ctrl-C."""
        self._started = time.perf_counter()
        try:
            self._run(on_progress)
        except KeyboardInterrupt:
            self.result.ended_early = INTERRUPTED
        self.result.seconds = time.perf_counter() - self._started
        self.result.records = len(self._acked)
        self.result.size_bytes = self.result.records * self._load.record_bytes
        if self._connection is not None:
            self._connection.close()
        return self.result

    def _run(self, on_progress: OnProgress) -> None:
        started = last_answer = self._started
        while len(self._acked) < self._load.records:
            if time.perf_counter() - last_answer > self._load.give_up_s:
                length_s = time.perf_counter() - last_answer
                self.result.outages.append((last_answer - started, length_s))
                self.result.ended_early = f"nothing was acknowledged for {length_s:.0f} s"
                return
            try:
                has_answer = self._step()
            except (BrokerUnreachableError, AdminError) as error:
                self._leave(error)
                on_progress(0, 0)
                continue
            if has_answer:
                now = time.perf_counter()
                if now - last_answer > OUTAGE_S:
                    self.result.outages.append((last_answer - started, now - last_answer))
                last_answer = now
                on_progress(1, self._load.record_bytes)
                self._maybe_kill()

    def _due_s(self, number: int) -> float:
        return self._started + number / self._load.records_per_s

    def _step(self) -> bool:
        """Connects, sends what is due or receives one answer; whether it was an answer."""
        if self._connection is None:
            self._connect_to_leader()
        connection = self._connection
        assert connection is not None
        now = time.perf_counter()
        due_s = self._due_s(self._next_number)
        has_room = len(self._pending) < IN_FLIGHT
        if has_room and self._again:
            self._send(connection, self._again.popleft())
            return False
        is_more = has_room and self._next_number < self._load.records
        if is_more and due_s <= now:
            self._next_number += 1
            self._send(connection, self._next_number - 1)
            return False
        if connection.wait_readable(max(0.0, min(due_s - now, 0.1)) if is_more else 0.1):
            self._receive(connection)
            return True
        if self._pending and now - self._pending[0][2] > REQUEST_LIMIT_S:
            raise BrokerUnreachableError(connection.address, f"no answer for {REQUEST_LIMIT_S:g} s")
        return False

    def _connect_to_leader(self) -> None:
        """Asks any broker who leads; AdminError or BrokerUnreachableError where nobody does."""
        with AdminClient(self._bootstrap, timeout_s=REQUEST_LIMIT_S) as client:
            topic, brokers = _topic_and_brokers(client, self._load.topic)
        self._bootstrap = ",".join(brokers.values())
        leader = topic.partitions[0].leader
        host, _, port = brokers.get(leader, ":0").rpartition(":")
        if not host:
            raise BrokerUnreachableError(self._load.topic, "nobody leads it")
        self._connection = BrokerConnection(host, int(port), timeout_s=REQUEST_LIMIT_S)
        self._version = self._connection.version_of(ApiKey.PRODUCE, PRODUCE_MAX_VERSION)
        if self.result.leaders[-1:] != [leader]:
            self.result.leaders.append(leader)
            self._say(f"broker {leader} at {host}:{port} leads {self._load.topic}-0")

    def _send(self, connection: BrokerConnection, number: int) -> None:
        value = HEADER.pack(self._run_id, number) + self._padding
        partition = {
            "index": 0,
            "records": encode_values([value], timestamp=time.time_ns() // 1_000_000),
        }
        body = {
            "acks": -1,
            "timeout_ms": int(1000 * REQUEST_LIMIT_S),
            "topic_data": [{"name": self._load.topic, "partition_data": [partition]}],
        }
        # Noted first: a request that was half sent is sent again.
        self._pending.append((number, -1, time.perf_counter()))
        correlation_id = connection.send_request(ApiKey.PRODUCE, self._version, body)
        self._pending[-1] = (number, correlation_id, time.perf_counter())

    def _receive(self, connection: BrokerConnection) -> None:
        if not self._pending:
            raise BrokerUnreachableError(connection.address, "it closed the connection")
        number, correlation_id, _ = self._pending[0]
        answer = connection.receive_answer(ApiKey.PRODUCE, self._version, correlation_id)
        part = answer["responses"][0]["partition_responses"][0]
        check(part["error_code"], f"{self._load.topic}-0")
        self._pending.popleft()
        self._acked.add(number)
        self.result.latencies.add(time.perf_counter() - self._due_s(number))

    def _leave(self, error: Exception) -> None:
        """Takes back what was not answered, in order, and forgets the connection."""
        if self._connection is not None:
            self._say(f"left {self._connection.address}: {error}")
            self._connection.close()
            self._connection = None
        self.result.sent_again += len(self._pending)
        self._again.extendleft(number for number, _, _ in reversed(self._pending))
        self._pending.clear()
        select.select([], [], [], RETRY_S)

    def _maybe_kill(self) -> None:
        if self._kill_pid and 3 * len(self._acked) >= self._load.records:
            self._say(f"kill -9 {self._kill_pid}")
            try:
                os.kill(self._kill_pid, signal.SIGKILL)
            except ProcessLookupError:
                self._say(f"process {self._kill_pid} was gone already")
            self._kill_pid = 0

    def read_back(self, from_offset: int) -> None:
        """Counts, from `from_offset` to the end, what is missing and what is there twice."""
        with AdminClient(self._bootstrap, timeout_s=self._load.give_up_s) as client:
            topic, _ = _topic_and_brokers(client, self._load.topic)
            end = client.list_offsets([topic], LATEST)[topic.name, 0]
            connection = client.broker(topic.partitions[0].leader)
            fetcher = Fetcher(connection, topic, {(topic.name, 0): from_offset})
            seen: dict[int, int] = {}
            while fetcher.next_offset(0) < end:
                fetcher.send_fetch(0)
                for _, batch in fetcher.answered_batches():
                    for record in batch.records():
                        number = self._number_of(bytes(record.value or b""))
                        seen[number] = seen.get(number, 0) + 1
        seen.pop(NOT_OURS, None)
        self.result.lost = len(self._acked - seen.keys())
        self.result.duplicated = sum(count - 1 for count in seen.values())

    def _number_of(self, value: bytes) -> int:
        """Which record of this run it is, or NOT_OURS."""
        if len(value) < HEADER.size:
            return NOT_OURS
        run_id, number = HEADER.unpack_from(value)
        return int(number) if run_id == self._run_id else NOT_OURS


def _topic_and_brokers(client: AdminClient, name: str) -> tuple[TopicInfo, dict[int, str]]:
    (topic,) = client.topics([name])
    rows = client.metadata([name])["brokers"]
    return topic, {row["node_id"]: f"{row['host']}:{row['port']}" for row in rows}


def run_failover(
    bootstrap: str, load: FailoverLoad, say: Callable[[str], None], on_progress: OnProgress
) -> FailoverResult:
    """The whole run, records read back as far as somebody serves them."""
    if load.kill_pid:
        _check_process(load.kill_pid)
    with AdminClient(bootstrap, timeout_s=load.give_up_s) as client:
        topic = topic_info(client, load.topic)
        if len(topic.partitions) != 1:
            raise CliError(f"topic {load.topic} needs one partition for this; it has more")
        # Without a leader there is no answer, and all of the topic is read back.
        from_offset = client.list_offsets([topic], LATEST).get((load.topic, 0), 0)
    producer = FailoverProducer(bootstrap, load, say)
    result = producer.run(on_progress)
    try:
        producer.read_back(from_offset)
    except (BrokerUnreachableError, AdminError) as error:
        result.ended_early = f"{result.ended_early} not read back: {error}".strip()
    return result


def _check_process(pid: int) -> None:
    """That there is such a process and that it may be killed; CliError before anything is sent."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        raise CliError(f"--kill {pid}: there is no such process") from None
    except PermissionError:
        raise CliError(f"--kill {pid}: it is somebody else's process") from None

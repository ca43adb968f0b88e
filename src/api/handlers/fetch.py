"""Fetch (API key 1), versions 4-17.

Behaviour: answers at once if max_wait is 0, nothing is asked, min_bytes are there, or any partition
    has an error or diverges; else waits for news of any partition, at most max_wait.  The first
    batch found is returned whole whatever the limits are (KIP-74); after that max_bytes and
    partition_max_bytes hold, and the order of reading rotates so that no partition starves.
    Between high watermark and log end there is nothing, which is no error.  `records` is never
    null: librdkafka takes that for a broken size.
Versions: 7 sessions (KIP-227); 9 current_leader_epoch (KIP-320); 10 zstd, which older versions
    cannot read (76); 12 last_fetched_epoch and diverging_epoch (KIP-595); 13 topic ids (KIP-516);
    16 node_endpoints, sent when a leader moved (KIP-951).
Not done: sessions.  The answer always carries session id 0, which makes a client ask in full.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import UnsupportedCompressionTypeError
from ...core.record_batch import iter_batches
from ..wire.error_codes import ErrorCode
from .context import RequestContext
from .error_mapping import error_code_of

if TYPE_CHECKING:
    from ...raft.offset_waiters import Waiter
    from ...raft.partition import FetchedRecords, Partition
    from ..broker import Broker

FIRST_VERSION_WITH_ZSTD = 10
FIRST_VERSION_WITH_TOPIC_IDS = 13
FINAL_SESSION_EPOCH = -1
INITIAL_SESSION_EPOCH = 0
ZSTD = 4

Body = dict[str, Any]
Answer = Body | asyncio.Future[Body | None]


def handle_fetch(broker: "Broker", context: RequestContext, request: Body) -> Answer:
    """Read what is there, or wait for it."""
    if request["session_id"] and request["session_epoch"] > INITIAL_SESSION_EPOCH:
        return {"error_code": ErrorCode.FETCH_SESSION_ID_NOT_FOUND, "responses": []}
    fetch = _Fetch(broker, context, request)
    body = fetch.read_partitions()
    if fetch.is_satisfied:
        return body
    return fetch.wait_for_records()


@dataclass(slots=True)
class _Asked:
    """One partition of a request, and where its answer goes."""

    partition: "Partition"
    request: Body
    topic_slot: int
    partition_slot: int


class _Fetch:
    """One Fetch request: reads its partitions, as often as needed, until it can be answered."""

    def __init__(self, broker: "Broker", context: RequestContext, request: Body) -> None:
        self._broker = broker
        self._version = context.api_version
        self._min_bytes: int = request["min_bytes"]
        self._max_wait_ms: int = request["max_wait_ms"]
        self._max_bytes = min(request["max_bytes"], broker.config.fetch_max_bytes)
        self._isolation_level: int = request["isolation_level"]
        self._asked: list[_Asked] = []
        self._failed: dict[tuple[int, int], Body] = {}
        self._topics: list[Body] = []
        self._find_partitions(request["topics"])
        self.is_satisfied = False

    def _find_partitions(self, topics: list[Body]) -> None:
        """Sort what is asked into partitions that are here and errors to report."""
        by_id = self._version >= FIRST_VERSION_WITH_TOPIC_IDS
        replicas = self._broker.replicas
        for topic_slot, topic in enumerate(topics):
            for partition_slot, asked in enumerate(topic["partitions"]):
                try:
                    if by_id:
                        partition = replicas.partition_by_id(topic["topic_id"], asked["partition"])
                    else:
                        partition = replicas.partition(topic["topic"], asked["partition"])
                except Exception as error:
                    failure = _describe_failure(asked["partition"], error)
                    self._failed[(topic_slot, partition_slot)] = failure
                    continue
                self._asked.append(_Asked(partition, asked, topic_slot, partition_slot))
            self._topics.append(topic)

    # ---- reading

    def read_partitions(self) -> Body:
        """An answer from what is there now; sets `is_satisfied` if it is one to be sent."""
        responses: list[Body] = [
            {
                "topic": topic.get("topic"),
                "topic_id": topic.get("topic_id"),
                "partitions": [None] * len(topic["partitions"]),
            }
            for topic in self._topics
        ]
        is_final = bool(self._failed) or not self._asked or self._max_wait_ms <= 0
        for (topic_slot, partition_slot), failure in self._failed.items():
            responses[topic_slot]["partitions"][partition_slot] = failure
        left_bytes = self._max_bytes
        found_bytes = 0
        for asked in self._in_reading_order():
            answer, size_bytes, is_news = self._read_one(asked, left_bytes, found_bytes == 0)
            responses[asked.topic_slot]["partitions"][asked.partition_slot] = answer
            left_bytes -= size_bytes
            found_bytes += size_bytes
            is_final = is_final or is_news
        self.is_satisfied = is_final or found_bytes >= self._min_bytes
        return {"error_code": ErrorCode.NONE, "session_id": 0, "responses": responses}

    def _in_reading_order(self) -> list[_Asked]:
        """What is asked, beginning somewhere else each time."""
        if len(self._asked) < 2:
            return self._asked
        start = self._broker.next_fetch_turn() % len(self._asked)
        return self._asked[start:] + self._asked[:start]

    def _read_one(
        self, asked: _Asked, left_bytes: int, min_one_batch: bool
    ) -> tuple[Body, int, bool]:
        """The answer for one partition, its bytes, and whether it must be told at once."""
        request = asked.request
        index = request["partition"]
        try:
            fetched = asked.partition.fetch_records(
                fetch_offset=request["fetch_offset"],
                max_bytes=max(0, min(request["partition_max_bytes"], left_bytes)),
                isolation_level=self._isolation_level,
                current_leader_epoch=request["current_leader_epoch"],
                last_fetched_epoch=request["last_fetched_epoch"],
                min_one_batch=min_one_batch,
            )
            if self._version < FIRST_VERSION_WITH_ZSTD:
                _refuse_zstd(fetched.records)
        except Exception as error:
            return _describe_failure(index, error, asked.partition), 0, True
        answer = _describe_fetched(index, fetched, self._isolation_level)
        return answer, len(fetched.records), fetched.diverging_epoch is not None

    # ---- waiting

    def wait_for_records(self) -> "asyncio.Future[Body | None]":
        """The promise of an answer: on news that satisfies min_bytes, or after max_wait."""
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Body | None] = self._loop.create_future()
        self._waiters: list[Waiter] = []
        self._is_woken = False
        self._timer = self._loop.call_later(self._max_wait_ms / 1000, self._answer)
        self._future.add_done_callback(self._stop_waiting)
        self._watch_partitions()
        return self._future

    def _watch_partitions(self) -> None:
        self._waiters = [asked.partition.add_fetch_waiter(self._wake) for asked in self._asked]

    def _wake(self) -> None:
        """News: look once this turn of the loop is over, so that many appends are seen as one."""
        if not self._is_woken and not self._future.done():
            self._is_woken = True
            self._loop.call_soon(self._look_again)

    def _look_again(self) -> None:
        self._is_woken = False
        if self._future.done():
            return
        self._cancel_waiters()
        body = self.read_partitions()
        if self.is_satisfied:
            self._future.set_result(body)
        else:
            self._watch_partitions()

    def _answer(self) -> None:
        """max_wait is over: answer with whatever is there."""
        if not self._future.done():
            self._future.set_result(self.read_partitions())

    def _cancel_waiters(self) -> None:
        for waiter in self._waiters:
            waiter.cancel()
        self._waiters = []

    def _stop_waiting(self, future: "asyncio.Future[Body | None]") -> None:
        self._timer.cancel()
        self._cancel_waiters()


def _describe_fetched(index: int, fetched: "FetchedRecords", isolation_level: int) -> Body:
    answer = {
        "partition_index": index,
        "error_code": 0,
        "high_watermark": fetched.high_watermark,
        "last_stable_offset": fetched.last_stable_offset,
        "log_start_offset": fetched.log_start_offset,
        "records": fetched.records,
        "aborted_transactions": None,
    }
    if isolation_level:
        answer["aborted_transactions"] = [
            {"producer_id": producer_id, "first_offset": first_offset}
            for producer_id, first_offset in fetched.aborted_transactions or ()
        ]
    if fetched.diverging_epoch is not None:
        epoch, end_offset = fetched.diverging_epoch
        answer["diverging_epoch"] = {"epoch": epoch, "end_offset": end_offset}
    return answer


def _describe_failure(index: int, error: Exception, partition: "Partition | None" = None) -> Body:
    code = error_code_of(error)
    answer: Body = {
        "partition_index": index,
        "error_code": code,
        "high_watermark": -1,
        "records": b"",
    }
    moved = (ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.FENCED_LEADER_EPOCH)
    if partition is not None and code in moved:
        answer["current_leader"] = {
            "leader_id": partition.leader_id,
            "leader_epoch": partition.leader_epoch,
        }
    return answer


def _refuse_zstd(records: memoryview) -> None:
    for batch in iter_batches(records):
        if batch.compression_id == ZSTD:
            raise UnsupportedCompressionTypeError("zstd is readable from Fetch version 10 on")

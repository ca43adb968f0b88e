"""Fetch (API key 1), versions 4-17.

Behaviour: answers at once if max_wait is 0, nothing is asked, min_bytes are there, or any partition
    has an error or diverges; else waits for news of any partition, at most max_wait.  The first
    batch found is returned whole whatever the limits are (KIP-74); after that max_bytes and
    partition_max_bytes hold, and the order of reading rotates so that no partition starves.
    Between high watermark and log end there is nothing, which is no error.  `records` is never
    null: librdkafka takes that for a broken size.
Versions: 7 sessions (KIP-227), see session_fetch.py; 9 current_leader_epoch (KIP-320); 10 zstd,
    which older versions cannot read (76); 12 last_fetched_epoch and diverging_epoch (KIP-595);
    13 topic ids (KIP-516); 15 replica_state (KIP-903); 16 node_endpoints, sent when a leader moved
    (KIP-951).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...raft.partition import READ_COMMITTED
from .context import RequestContext
from .fetch_answers import (
    FIRST_VERSION_WITH_REPLICA_STATE,
    FIRST_VERSION_WITH_TOPIC_IDS,
    FIRST_VERSION_WITH_ZSTD,
    FailedAnswers,
    describe_fetched,
    refuse_zstd,
)
from .fetch_wait import WaitingFetch
from .session_fetch import answer_in_session

if TYPE_CHECKING:
    from ...raft.offset_waiters import Waiter
    from ...raft.partition import FetchedRecords, Partition
    from ..broker import Broker

FINAL_SESSION_EPOCH = -1

Body = dict[str, Any]


def handle_fetch(broker: "Broker", context: RequestContext, request: Body) -> Body | WaitingFetch:
    """Read what is there, or wait for it."""
    follower = _follower_of(context, request)
    if request["session_epoch"] == FINAL_SESSION_EPOCH and follower is None:
        if request["session_id"]:
            broker.fetch_sessions.close_session(request["session_id"])
        return _Fetch(broker, context, request).answer()
    return answer_in_session(broker, context, request, follower)


def _follower_of(context: RequestContext, request: Body) -> tuple[int, int] | None:
    """(broker id, incarnation) where a replica asks, None for a client."""
    if context.api_version >= FIRST_VERSION_WITH_REPLICA_STATE:
        state = request["replica_state"]
        replica_id, incarnation = state["replica_id"], state["replica_epoch"]
    else:
        replica_id, incarnation = request["replica_id"], -1
    return None if replica_id < 0 else (replica_id, incarnation)


@dataclass(slots=True)
class _Asked:
    """One partition of a request, and where its answer goes."""

    partition: "Partition"
    request: Body
    topic_slot: int
    partition_slot: int


class _Fetch(WaitingFetch):
    """A request without a session, which names all its partitions."""

    def __init__(self, broker: "Broker", context: RequestContext, request: Body) -> None:
        self._broker = broker
        self._version = context.api_version
        self._min_bytes: int = request["min_bytes"]
        self.max_wait_ms = request["max_wait_ms"]
        self._max_bytes = min(request["max_bytes"], broker.config.fetch_max_bytes)
        self._isolation_level: int = request["isolation_level"]
        self._failures = FailedAnswers(broker, context)
        self._waiters: list[Waiter] = []
        self._asked: list[_Asked] = []
        self._failed: dict[tuple[int, int], Body] = {}
        self._topics: list[Body] = []
        self._find_partitions(request["topics"])

    def _find_partitions(self, topics: list[Body]) -> None:
        """Sort what is asked into partitions that are here and errors to report."""
        by_id = self._version >= FIRST_VERSION_WITH_TOPIC_IDS
        replicas = self._broker.replicas
        for topic_slot, topic in enumerate(topics):
            name_or_id = topic["topic_id"] if by_id else topic["topic"]
            for partition_slot, asked in enumerate(topic["partitions"]):
                try:
                    if by_id:
                        partition = replicas.partition_by_id(name_or_id, asked["partition"])
                    else:
                        partition = replicas.partition(name_or_id, asked["partition"])
                except Exception as error:
                    failure = self._failures.describe(
                        name_or_id, asked["partition"], error, is_replica=False
                    )
                    self._failed[(topic_slot, partition_slot)] = failure
                    continue
                self._asked.append(_Asked(partition, asked, topic_slot, partition_slot))
            self._topics.append(topic)

    def answer(self) -> Body | WaitingFetch:
        """See `WaitingFetch`.  Who has all of the one partition it asks for just waits."""
        if not self._has_all_of_one():
            return super().answer()
        self._begin_to_wait()
        return self

    def _has_all_of_one(self) -> bool:
        if len(self._asked) != 1 or self._failed or self._min_bytes <= 0 or self.max_wait_ms <= 0:
            return False
        (asked,) = self._asked
        request = asked.request
        return asked.partition.has_given_all(
            request["fetch_offset"],
            is_stable=self._isolation_level == READ_COMMITTED,
            epochs=(request["current_leader_epoch"], request["last_fetched_epoch"]),
        )

    # ---- reading

    def read_partitions(self) -> "list[tuple[_Asked, FetchedRecords | Body]]":
        """See `WaitingFetch`."""
        is_final = bool(self._failed) or not self._asked or self.max_wait_ms <= 0
        return self._read_each(self._in_reading_order(), is_final=is_final)

    def describe(self, found: "list[tuple[_Asked, FetchedRecords | Body]]") -> Body:
        """See `WaitingFetch`."""
        responses: list[Body] = [
            {
                "topic": topic.get("topic"),
                "topic_id": topic.get("topic_id"),
                "partitions": [None] * len(topic["partitions"]),
            }
            for topic in self._topics
        ]
        for (topic_slot, partition_slot), failure in self._failed.items():
            responses[topic_slot]["partitions"][partition_slot] = failure
        for asked, read in found:
            if isinstance(read, dict):
                answer = read
            else:
                answer = describe_fetched(asked.request["partition"], read, self._isolation_level)
            responses[asked.topic_slot]["partitions"][asked.partition_slot] = answer
        return self._failures.complete({"error_code": 0, "session_id": 0, "responses": responses})

    def _in_reading_order(self) -> list[_Asked]:
        """What is asked, beginning somewhere else each time."""
        if len(self._asked) < 2:
            return self._asked
        start = self._broker.next_fetch_turn() % len(self._asked)
        return self._asked[start:] + self._asked[:start]

    def _read_one(
        self, asked: _Asked, left_bytes: int, min_one_batch: bool
    ) -> "FetchedRecords | Body":
        """What one partition has, or the answer that says what refused it."""
        request = asked.request
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
                refuse_zstd(fetched.records)
        except Exception as error:
            name = asked.partition.topic
            return self._failures.describe(name, request["partition"], error, is_replica=False)
        return fetched

    # ---- waiting

    def watch_partitions(self) -> None:
        """See `WaitingFetch`."""
        self.stop_watching()
        self._waiters = [asked.partition.add_fetch_waiter(self.wake) for asked in self._asked]

    def stop_watching(self) -> None:
        """See `WaitingFetch`."""
        for waiter in self._waiters:
            waiter.cancel()
        self._waiters = []

"""Fetch within a session (KIP-227): of clients that ask for one, and of every follower.

    session_id 0, epoch 0    a new session; all its partitions are answered
    session_id n, epoch e    the session goes on: changed partitions are in the request, forgotten
                             ones are named, and only partitions with something to tell are answered
    session_id n, epoch -1   the session ends (fetch.py)

A further request of a session that still waits has the first one answered at once, so a fetcher
may bring a new partition in without waiting for max_wait.  A follower reads up to the log's end,
and what it asks for tells the leader what it has.  One that is out of sync gets no bytes of a
throttled partition while this broker's quota is used up (KIP-73); the partition stays in the
session's news, so the next look reads it again.
"""

from typing import TYPE_CHECKING, Any

from ...raft.errors import FetchSessionTopicIdError, ReplicationError
from ...raft.fetch_sessions import NOT_TOLD, FetchSession, SessionPartition
from ...raft.partition import NOTHING_YET
from ...raft.replication_quota import UNLIMITED, ReplicationQuota
from .context import RequestContext
from .error_mapping import error_code_of
from .fetch_answers import (
    FIRST_VERSION_WITH_TOPIC_IDS,
    FIRST_VERSION_WITH_ZSTD,
    FailedAnswers,
    describe_fetched,
    refuse_zstd,
)
from .fetch_wait import WaitingFetch

if TYPE_CHECKING:
    from ...raft.partition import FetchedRecords, Partition
    from ..broker import Broker

INITIAL_SESSION_EPOCH = 0

Body = dict[str, Any]


def answer_in_session(
    broker: "Broker",
    context: RequestContext,
    request: Body,
    follower: tuple[int, int] | None,
) -> Body | WaitingFetch:
    """The answer of a request that begins or continues a session, or the promise of it."""
    by_id = context.api_version >= FIRST_VERSION_WITH_TOPIC_IDS
    sessions = broker.fetch_sessions
    session_id, epoch = request["session_id"], request["session_epoch"]
    is_full = epoch <= INITIAL_SESSION_EPOCH
    try:
        if is_full:
            if session_id:
                sessions.close_session(session_id)
            count = sum(len(topic["partitions"]) for topic in request["topics"])
            session = sessions.open_session(
                partition_count=count, uses_topic_ids=by_id, follower=follower
            )
        else:
            session = sessions.next_of(session_id, epoch)
            if session.uses_topic_ids != by_id or session.follower != follower:
                raise FetchSessionTopicIdError("the session was begun by another kind of request")
    except ReplicationError as error:
        return {"error_code": error_code_of(error), "responses": []}
    _update_session(session, request, by_id=by_id)
    if not session.partitions and session.session_id:
        sessions.close_session(session.session_id)
        session.session_id = 0
    return _SessionFetch(broker, context, request, session, is_full=is_full).answer()


def _update_session(session: FetchSession, request: Body, *, by_id: bool) -> None:
    topic_field = "topic_id" if by_id else "topic"
    for topic in request["forgotten_topics_data"]:
        for index in topic["partitions"]:
            session.forget((topic[topic_field], index))
    for topic in request["topics"]:
        for asked in topic["partitions"]:
            found = session.partition((topic[topic_field], asked["partition"]))
            found.fetch_offset = asked["fetch_offset"]
            found.max_bytes = asked["partition_max_bytes"]
            found.current_leader_epoch = asked["current_leader_epoch"]
            found.last_fetched_epoch = asked["last_fetched_epoch"]
            found.log_start_offset = asked["log_start_offset"]
            if session.follower is not None:  # it may have dropped what it was told
                found.told_high_watermark = found.told_log_start_offset = NOT_TOLD


class _SessionFetch(WaitingFetch):
    """One request of a session."""

    def __init__(
        self,
        broker: "Broker",
        context: RequestContext,
        request: Body,
        session: FetchSession,
        *,
        is_full: bool,
    ) -> None:
        self._broker = broker
        self._context = context
        self._session = session
        self._is_full = is_full
        self._min_bytes: int = request["min_bytes"]
        self.max_wait_ms = request["max_wait_ms"]
        # Without min() and max() on this way: a batch empties the caches, and so less is read.
        max_bytes, most_bytes = request["max_bytes"], broker.config.fetch_max_bytes
        self._max_bytes = max_bytes if max_bytes < most_bytes else most_bytes
        self._isolation_level: int = request["isolation_level"]
        if session.waiting is not None:
            session.waiting.answer_now()

    def answer(self) -> "Body | WaitingFetch":
        """See `WaitingFetch`.  A follower that has all of its one busy partition just waits."""
        if self._is_full or self._session.follower is None or not self._has_all_of_one():
            return super().answer()
        self._begin_to_wait()
        return self

    def _has_all_of_one(self) -> bool:
        news = self._session.news
        if len(news) != 1 or self._min_bytes <= 0 or self.max_wait_ms <= 0:
            return False
        (asked,) = news
        partition = asked.partition
        if (
            partition is None
            or partition.log is None
            or asked.fetch_offset != partition.log.log_end_offset
        ):
            return False
        try:
            return self._fetch(asked, partition, 0, False, may_wait=True) is NOTHING_YET
        except Exception:
            return False  # what refuses it does so again, where that is told

    def read_partitions(self) -> "list[tuple[SessionPartition, FetchedRecords | Body]]":
        """See `WaitingFetch`.  Only what has news is read, but for a session's first answer."""
        session, quota = self._session, self._broker.leader_quota
        self._quota = None if quota.bytes_per_s == UNLIMITED else quota
        self._failures: FailedAnswers | None = None
        asked = list(session.partitions.values() if self._is_full else session.news)
        return self._read_each(asked, is_final=self.max_wait_ms <= 0 or not session.partitions)

    def describe(self, found: "list[tuple[SessionPartition, FetchedRecords | Body]]") -> Body:
        """See `WaitingFetch`."""
        session = self._session
        field = "topic_id" if session.uses_topic_ids else "topic"
        if len(found) == 1:  # most answers to a follower of a busy partition
            ((asked, read),) = found
            responses = [{field: asked.key[0], "partitions": [self._describe_one(asked, read)]}]
        else:
            topics: dict[Any, list[Body]] = {}
            for asked, read in found:
                topics.setdefault(asked.key[0], []).append(self._describe_one(asked, read))
            responses = [{field: topic, "partitions": told} for topic, told in topics.items()]
        body: Body = {"error_code": 0, "session_id": session.session_id, "responses": responses}
        return body if self._failures is None else self._failures.complete(body)

    def _describe_one(self, asked: SessionPartition, read: "FetchedRecords | Body") -> Body:
        if isinstance(read, dict):
            return read
        asked.told_high_watermark = read.high_watermark
        asked.told_log_start_offset = read.log_start_offset
        if self._quota is not None:
            self._count_throttled(asked, read, self._quota)
        return describe_fetched(asked.key[1], read, self._isolation_level)

    def _count_throttled(
        self, asked: SessionPartition, fetched: "FetchedRecords", quota: ReplicationQuota
    ) -> None:
        replica = asked.partition
        is_a_follower = self._session.follower is not None
        if is_a_follower and replica is not None and quota.is_throttled(replica):
            quota.record(len(fetched.records))

    def watch_partitions(self) -> None:
        """See `WaitingFetch`.  Quiet partitions are watched already."""
        self._session.waiting = self
        for asked in self._session.news:
            asked.watch()

    def stop_watching(self) -> None:
        """See `WaitingFetch`.  A session goes on to watch; one that got no room ends here."""
        session = self._session
        if session.waiting is self:
            session.waiting = None
        if not session.session_id:
            session.close()

    def _read_one(
        self, asked: SessionPartition, left_bytes: int, min_one_batch: bool
    ) -> "FetchedRecords | Body | None":
        """What one partition has, or the answer that says what refused it; None: it has no news."""
        session = self._session
        follower = session.follower
        try:
            partition = asked.partition or self._look_up(asked)
            # Not one in sync, which would leave.
            if (
                follower is not None
                and self._quota is not None
                and self._quota.holds_back(partition)
                and follower[0] not in partition.isr
            ):
                left_bytes, min_one_batch = 0, False
            max_bytes = asked.max_bytes if asked.max_bytes < left_bytes else left_bytes
            if max_bytes < 0:
                max_bytes = 0
            fetched = self._fetch(asked, partition, max_bytes, min_one_batch)
        except Exception as error:
            asked.failed()
            if self._failures is None:
                self._failures = FailedAnswers(self._broker, self._context)
            topic, index = asked.key
            is_replica = follower is not None
            return self._failures.describe(topic, index, error, is_replica=is_replica)
        if fetched.records:
            session.goes_last(asked)
        if not asked.has_something_to_tell(fetched):
            # Else records that did not fit may be there.  A follower is told of each step of the
            # high watermark up to the log's end: only an append brings news after that.
            if min_one_batch and (follower is None or _is_committed(asked, fetched)):
                session.is_quiet(asked)
            if not self._is_full:
                return None
        return fetched

    def _look_up(self, asked: SessionPartition) -> "Partition":
        replicas, by_id = self._broker.replicas, self._session.uses_topic_ids
        look_up = replicas.partition_by_id if by_id else replicas.partition
        partition = asked.partition = look_up(*asked.key)
        return partition

    def _fetch(
        self,
        asked: SessionPartition,
        partition: "Partition",
        max_bytes: int,
        min_one_batch: bool,
        may_wait: bool = False,
    ) -> "FetchedRecords":
        follower = self._session.follower
        if follower is None:
            fetched = partition.fetch_records(
                fetch_offset=asked.fetch_offset,
                max_bytes=max_bytes,
                isolation_level=self._isolation_level,
                current_leader_epoch=asked.current_leader_epoch,
                last_fetched_epoch=asked.last_fetched_epoch,
                min_one_batch=min_one_batch,
            )
            if self._context.api_version < FIRST_VERSION_WITH_ZSTD:
                refuse_zstd(fetched.records)
            return fetched
        return partition.fetch_for_follower(
            broker_id=follower[0],
            incarnation=follower[1],
            fetch_offset=asked.fetch_offset,
            log_start_offset=asked.log_start_offset,
            last_fetched_epoch=asked.last_fetched_epoch,
            current_leader_epoch=asked.current_leader_epoch,
            max_bytes=max_bytes,
            now_ms=self._broker.clock.monotonic_ms(),
            min_one_batch=min_one_batch,
            may_wait=may_wait,
        )


def _is_committed(asked: SessionPartition, fetched: "FetchedRecords") -> bool:
    """Whether all that a follower has by now is committed, which it knows."""
    return fetched.high_watermark >= asked.fetch_offset

"""Fetch sessions (KIP-227): what a fetcher asks for again and again, and where it has news.

A session remembers its partitions, so that a request names only those that changed and an answer
only those with something to tell.  A partition without news costs nothing: it is looked at again
when its own waiter wakes.

    news     may have something to tell at the offset it is asked for
    quiet    was read, and had nothing: a waiter of the partition brings it back
"""

from collections import OrderedDict
from typing import Any, Protocol

from ..core.clock import Clock
from .errors import FetchSessionIdNotFoundError, InvalidFetchSessionEpochError
from .offset_waiters import Waiter
from .partition import FetchedRecords, Partition

MAX_SESSIONS = 1000
"""max.incremental.fetch.session.cache.slots as Kafka ships it."""
MIN_EVICTION_MS = 120_000
_MAX_EPOCH = 0x7FFFFFFF
NOT_TOLD = -2
"""Of an offset that an answer says: none has said it."""

PartitionKey = tuple[Any, int]
"""(topic id or name, partition index)"""


class WaitingRequest(Protocol):
    """A request that waits for news of its session."""

    def wake(self) -> None: ...
    def answer_now(self) -> None: ...


class SessionPartition:
    """One partition of a session: where it is to be read, and what was told of it last."""

    __slots__ = (
        "_session",
        "current_leader_epoch",
        "fetch_offset",
        "key",
        "last_fetched_epoch",
        "log_start_offset",
        "max_bytes",
        "partition",
        "told_high_watermark",
        "told_log_start_offset",
        "waiter",
    )

    def __init__(self, session: "FetchSession", key: PartitionKey) -> None:
        self._session = session
        self.key = key
        self.partition: Partition | None = None  # None: to be looked up
        self.fetch_offset = 0
        self.max_bytes = 0
        self.current_leader_epoch = -1
        self.last_fetched_epoch = -1
        self.log_start_offset = -1
        self.told_high_watermark = NOT_TOLD
        self.told_log_start_offset = NOT_TOLD
        self.waiter: Waiter | None = None

    def has_something_to_tell(self, fetched: FetchedRecords) -> bool:
        """Whether an incremental answer has to name this partition."""
        return (
            len(fetched.records) > 0
            or fetched.high_watermark != self.told_high_watermark
            or fetched.log_start_offset != self.told_log_start_offset
            or fetched.diverging_epoch is not None
        )

    def failed(self) -> None:
        """It is looked up again, and then all is told."""
        self.partition = None
        self.tell_all()

    def tell_all(self) -> None:
        """The next answer names it, with news or without."""
        self.told_high_watermark = self.told_log_start_offset = NOT_TOLD

    def watch(self) -> None:
        """Come back into the session's news when the partition has some."""
        if self.waiter is None and self.partition is not None:
            add_waiter = (
                self.partition.add_fetch_waiter
                if self._session.follower is None
                else self.partition.add_append_waiter
            )
            self.waiter = add_waiter(self._wake)

    def stop_watching(self) -> None:
        """Nobody asks any more."""
        if self.waiter is not None:
            self.waiter.cancel()
            self.waiter = None

    def _wake(self) -> None:
        """It is no longer quiet."""
        self.waiter = None
        session = self._session
        session.news[self] = None
        if session.waiting is not None:
            session.waiting.wake()


class FetchSession:
    """The partitions of one fetcher, in the order in which they are to be read.

    `follower` is (broker id, incarnation) of a replica, None of a client.  `epoch` is the one that
    the next request must carry; `waiting` is told when a quiet partition wakes.
    """

    def __init__(
        self,
        session_id: int,
        *,
        uses_topic_ids: bool,
        follower: tuple[int, int] | None,
        now_ms: int,
    ) -> None:
        self.session_id = session_id
        self.uses_topic_ids = uses_topic_ids
        self.follower = follower
        self.epoch = 1
        self.created_ms = self.used_ms = now_ms
        self.partitions: dict[PartitionKey, SessionPartition] = {}
        self.news: dict[SessionPartition, None] = {}
        self.waiting: WaitingRequest | None = None

    def partition(self, key: PartitionKey) -> SessionPartition:
        """The partition, new in the session if it was not there; it is news from now on."""
        found = self.partitions.get(key)
        if found is None:
            found = self.partitions[key] = SessionPartition(self, key)
        self.news[found] = None
        return found

    def forget(self, key: PartitionKey) -> None:
        """Leave the partition out from now on."""
        found = self.partitions.pop(key, None)
        if found is not None:
            found.stop_watching()
            self.news.pop(found, None)

    def is_quiet(self, found: SessionPartition) -> None:
        """It was read and there is nothing to tell until its waiter wakes."""
        self.news.pop(found, None)
        found.watch()

    def goes_last(self, found: SessionPartition) -> None:
        """It gave records: others are read before it next time."""
        self.news.pop(found, None)
        self.news[found] = None

    def close(self) -> None:
        """Answer who waits with what it has, as it would hear of no news; give up every waiter."""
        if self.waiting is not None:
            self.waiting.answer_now()
        for found in self.partitions.values():
            found.stop_watching()
        self.partitions.clear()
        self.news.clear()


class FetchSessions:
    """The sessions of one broker, at most `max_sessions`; loop thread only."""

    def __init__(self, clock: Clock, *, max_sessions: int = MAX_SESSIONS) -> None:
        self._clock = clock
        self._max_sessions = max_sessions
        self._by_id: OrderedDict[int, FetchSession] = OrderedDict()  # least recently used first

    def __len__(self) -> int:
        return len(self._by_id)

    def open_session(
        self, *, partition_count: int, uses_topic_ids: bool, follower: tuple[int, int] | None
    ) -> FetchSession:
        """A session; its id is 0 where there is no room for it, and it ends with its answer.

        It ends the earlier ones of the same follower, which has one at a time: its connection was
        lost, or its process, and nobody asks in them any more.
        """
        now_ms = self._clock.monotonic_ms()
        if follower is not None:
            self._close_those_of(follower[0])
        session_id = 0
        has_room = len(self._by_id) < self._max_sessions
        if has_room or self._evict_for(partition_count, follower is not None, now_ms):
            while session_id == 0 or session_id in self._by_id:
                session_id = int.from_bytes(self._clock.random_bytes(4), "big") & _MAX_EPOCH
        session = FetchSession(
            session_id, uses_topic_ids=uses_topic_ids, follower=follower, now_ms=now_ms
        )
        if session_id:
            self._by_id[session_id] = session
        return session

    def next_of(self, session_id: int, epoch: int) -> FetchSession:
        """The session that a request continues.

        Raises FetchSessionIdNotFoundError, InvalidFetchSessionEpochError.
        """
        session = self._by_id.get(session_id)
        if session is None:
            raise FetchSessionIdNotFoundError(f"there is no fetch session {session_id}")
        if epoch != session.epoch:
            raise InvalidFetchSessionEpochError(
                f"fetch session {session_id} is at epoch {session.epoch}, not {epoch}"
            )
        session.epoch = 1 if epoch == _MAX_EPOCH else epoch + 1
        session.used_ms = self._clock.monotonic_ms()
        self._by_id.move_to_end(session_id)
        return session

    def close_session(self, session_id: int) -> None:
        """End it, if it is there."""
        session = self._by_id.pop(session_id, None)
        if session is not None:
            session.close()

    def close_all(self) -> None:
        """The broker stops."""
        for session_id in list(self._by_id):
            self.close_session(session_id)

    def _close_those_of(self, broker_id: int) -> None:
        for session in list(self._by_id.values()):
            if session.follower is not None and session.follower[0] == broker_id:
                self.close_session(session.session_id)

    def _evict_for(self, partition_count: int, is_replica: bool, now_ms: int) -> bool:
        """Make room as Kafka does: for who was idle for long, else for a weaker, older session."""
        if not self._by_id:
            return False
        oldest = next(iter(self._by_id.values()))
        if now_ms - oldest.used_ms > MIN_EVICTION_MS:
            self.close_session(oldest.session_id)
            return True
        candidates = [
            session
            for session in self._by_id.values()
            if now_ms - session.created_ms > MIN_EVICTION_MS
            or (is_replica and session.follower is None)
        ]
        weakest = min(candidates, key=_strength, default=None)
        if weakest is None or _strength(weakest) >= (is_replica, partition_count):
            return False
        self.close_session(weakest.session_id)
        return True


def _strength(session: FetchSession) -> tuple[bool, int]:
    return session.follower is not None, len(session.partitions)

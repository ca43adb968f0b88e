"""A follower's side of replication: one fetch loop a leader, for all partitions that follow it.

    role changed -> follow -> request names it -> answer: append, or cut -> request names it ...

A loop keeps one request with its leader, which answers when there is news or after max_wait.  It is
an incremental session (KIP-227), so a partition without news is in neither request nor answer.
What changes meanwhile goes out at once in a second request, which makes the leader answer the
first.  A partition that the leader refuses is left out for a while, one with flush.messages until
what it brought is on disk, a throttled one that is out of sync while the quota is used up (KIP-73).
One that fails as nobody foresaw is left out until it follows in another epoch or its broker starts
again, as Kafka's failedPartitions are; the others go on.

One that is in sync and has news alone may bring more than `replica.fetch.max.bytes`: that is the
share of one partition among many, and where producers outrun the rounds few large ones cost less.
Most of what it costs to store a large answer are new pages.  One that catches up gets them ahead,
a part in each turn of the loop, and is left out while it has none for the next answer: who waits
for the other partitions waits for a part of an answer, never for a whole one.  Where those have
news it is also left out for a moment behind each answer (`catch_up_pace.py`).
Knows no sockets and no time: both come by the constructor.  Loop thread only.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ..core.errors import HeadraceError
from .catch_up_pace import MEMORY_ANSWERS, CatchUpPace
from .partition import Partition
from .replication_quota import UNLIMITED, ReplicationQuota

MIN_BACKOFF_MS = 20
LONE_SHARES = 4  # a round costs both sides about as much for one batch as for four
_OFFSET_OUT_OF_RANGE = 1
_MAX_EPOCH = 0x7FFFFFFF

logger = logging.getLogger(__name__)

Body = dict[str, Any]
PartitionKey = tuple[bytes, int]
OnAnswer = Callable[[Body | BaseException], None]
SendFetch = Callable[[int, Body, OnAnswer], None]
"""(leader id, Fetch request, on_answer): the answer's records are good until on_answer returns."""


class Scheduled(Protocol):
    """A call that was scheduled."""

    def cancel(self) -> None: ...


Schedule = Callable[[int, Callable[[], None]], Scheduled]
"""(delay in ms, call)"""


@dataclass(frozen=True, slots=True)
class FetcherSettings:
    """Kafka's replica.fetch.*; the back-off of one that is refused starts small and doubles."""

    max_wait_ms: int = 500
    min_bytes: int = 1
    max_bytes: int = 10 * 1024 * 1024
    partition_max_bytes: int = 1024 * 1024
    backoff_ms: int = 1000


class ReplicaFetchers:
    """Every fetch loop of this broker."""

    def __init__(
        self,
        *,
        broker_id: int,
        incarnation: int,
        send_fetch: SendFetch,
        schedule: Schedule,
        quota: ReplicationQuota,
        settings: FetcherSettings | None = None,
    ) -> None:
        self._quota = quota
        self._pace = CatchUpPace()
        self._identity = {"replica_id": broker_id, "replica_epoch": incarnation}
        self._send_fetch = send_fetch
        self._schedule = schedule
        self._settings = settings or FetcherSettings()
        self._loops: dict[int, LeaderFetcher] = {}
        self._loop_of: dict[PartitionKey, LeaderFetcher] = {}
        self._is_closed = False

    def role_changed(self, partition: Partition) -> None:
        """Follow, follow another or a later epoch, or stop; see `Partition.on_role_changed`."""
        key = (partition.topic_id, partition.index)
        leader_id = partition.leader_id if partition.is_follower and not self._is_closed else None
        loop = self._loop_of.get(key)
        if loop is not None and loop.leader_id != leader_id:
            del self._loop_of[key]
            loop.unfollow(key)
        if leader_id is not None:
            loop = self._loops.get(leader_id)
            if loop is None:
                loop = self._loops[leader_id] = LeaderFetcher(
                    leader_id,
                    self._identity,
                    self._send_fetch,
                    self._schedule,
                    self._quota,
                    self._pace,
                    self._settings,
                )
            self._loop_of[key] = loop
            loop.follow(partition)

    def leader_is_reachable(self, leader_id: int) -> None:
        """Its link came up: what waits for a back-off goes on at once."""
        loop = self._loops.get(leader_id)
        if loop is not None:
            loop.go_on()

    def close(self) -> None:
        """Ask and store nothing any more."""
        self._is_closed = True
        for loop in self._loops.values():
            loop.close()
        self._loop_of.clear()


class _Followed:
    """One partition of a loop."""

    __slots__ = (
        "answer_bytes",
        "asked_offset",
        "awaits_room",
        "backoff_ms",
        "is_in_session",
        "is_in_sync",
        "is_making_room",
        "is_paused",
        "key",
        "partition",
        "request_number",
    )

    def __init__(self, key: PartitionKey, partition: Partition) -> None:
        self.key = key
        self.partition = partition
        self.backoff_ms = 0
        self.is_paused = False
        self.is_in_session = False
        self.is_in_sync = False  # it has all that its leader said is committed
        self.request_number = -1  # of the last request that named it; -1: none yet
        self.asked_offset = -1
        self.answer_bytes = 0  # how much the last answer brought, so the next one may
        self.is_making_room = False  # a part of it comes in the next turn of the loop
        self.awaits_room = False  # and is left out until then

    def is_answered_by(self, request_number: int) -> bool:
        """Whether what the answer to that request tells is about where our log ends now."""
        log = self.partition.log
        return (
            0 <= self.request_number <= request_number
            and not self.is_paused
            and self.partition.is_follower
            and log is not None
            and log.log_end_offset == self.asked_offset
        )

    def describe(self, request_number: int, max_bytes: int) -> Body:
        """What the request says of it."""
        partition = self.partition
        log = partition.log
        assert log is not None, partition
        self.is_in_session = True
        self.request_number = request_number
        self.asked_offset = log.log_end_offset
        return {
            "partition": self.key[1],
            "current_leader_epoch": partition.leader_epoch,
            "fetch_offset": log.log_end_offset,
            "last_fetched_epoch": log.latest_epoch,
            "log_start_offset": log.log_start_offset,
            "partition_max_bytes": max_bytes,
        }


class LeaderFetcher:
    """The fetch loop of one leader."""

    def __init__(
        self,
        leader_id: int,
        identity: Body,
        send_fetch: SendFetch,
        schedule: Schedule,
        quota: ReplicationQuota,
        pace: CatchUpPace,
        settings: FetcherSettings,
    ) -> None:
        self.leader_id = leader_id
        self._identity = identity
        self._send_fetch = send_fetch
        self._schedule = schedule
        self._quota = quota
        self._pace = pace
        self._settings = settings
        self._lone_max_bytes = min(LONE_SHARES * settings.partition_max_bytes, settings.max_bytes)
        self._followed: dict[PartitionKey, _Followed] = {}
        self._changed: dict[PartitionKey, _Followed] = {}
        self._forgotten: dict[PartitionKey, None] = {}
        self._session_id = 0
        self._session_epoch = 0
        self._request_count = 0
        self._in_flight = 0
        self._backoff_ms = 0
        self._retry: Scheduled | None = None
        self._is_new = True  # no answer yet since the loop began, or began anew
        self._is_due = False  # `_send_changes` is called at the end of this turn of the loop
        self._is_closed = False

    # -- who is followed

    def follow(self, partition: Partition) -> None:
        """Fetch it from this leader, in its present epoch."""
        key = (partition.topic_id, partition.index)
        found = _Followed(key, partition)
        found.is_in_session = key in self._followed and self._followed[key].is_in_session
        self._followed[key] = self._changed[key] = found
        self._forgotten.pop(key, None)
        if partition.must_flush_before_report:  # what an earlier life left
            self._flush_first(found)
        self._send_soon()

    def unfollow(self, key: PartitionKey) -> None:
        """Leave it out from now on."""
        found = self._followed.pop(key, None)
        self._changed.pop(key, None)
        if found is not None and found.is_in_session:
            self._forgotten[key] = None
            self._send_soon()

    def go_on(self) -> None:
        """Try again at once where the last request failed."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
            self._send_soon()

    def close(self) -> None:
        """Whatever is answered now is ignored."""
        self._is_closed = True
        self._followed.clear()
        if self._retry is not None:
            self._retry.cancel()

    # -- requests

    def _send_soon(self) -> None:
        """Send what changed once this turn of the loop is over: many changes, one request."""
        if not self._is_due and not self._is_closed:
            self._is_due = True
            self._schedule(0, self._send_changes)

    def _send_changes(self) -> None:
        self._is_due = False
        if self._is_closed or self._retry is not None:
            return
        if self._in_flight == 0 or (
            self._in_flight == 1 and self._session_id and (self._changed or self._forgotten)
        ):
            self._send_next()

    def _send_next(self) -> None:
        """The next request of the session, or the first one of a new session."""
        is_full = self._session_id == 0
        asked = self._changed if not is_full else self._followed
        if self._quota.bytes_per_s != UNLIMITED:
            self._hold_back(list(asked.values()))
        named = [each for each in asked.values() if not each.is_paused]
        if not named and (is_full or all(each.is_paused for each in self._followed.values())):
            return
        settings = self._settings
        self._request_count += 1
        body: Body = {
            "replica_state": self._identity,
            # The first answer brings the session's id: it is not to wait for records.
            "max_wait_ms": 0 if self._is_new else settings.max_wait_ms,
            "min_bytes": settings.min_bytes,
            "max_bytes": settings.max_bytes,
            "isolation_level": 0,
            "session_id": self._session_id,
            "session_epoch": self._session_epoch,
            "topics": self._describe(named),
            "forgotten_topics_data": (
                _by_topic(self._forgotten) if self._forgotten and not is_full else []
            ),
            "rack_id": "",
        }
        self._changed = {}
        self._forgotten = {}
        if not is_full:
            epoch = self._session_epoch
            self._session_epoch = 1 if epoch >= _MAX_EPOCH else epoch + 1
        self._in_flight += 1
        self._send_fetch(self.leader_id, body, partial(self._take_answer, self._request_count))

    def _describe(self, named: list[_Followed]) -> list[Body]:
        """What a request says of these partitions."""
        number, max_bytes = self._request_count, self._settings.partition_max_bytes
        if len(named) == 1 and named[0].is_in_sync:  # most requests of a busy partition
            max_bytes = self._lone_max_bytes
        told: list[tuple[bytes, Body]] = []
        for each in named:
            try:
                told.append((each.key[0], each.describe(number, max_bytes)))
            except Exception as error:
                self._fail(each, error)
        if len(told) == 1:
            ((topic_id, part),) = told
            return [{"topic_id": topic_id, "partitions": [part]}]
        return _by_topic(told)

    # -- answers

    def _take_answer(self, request_number: int, answer: Body | BaseException) -> None:
        self._in_flight -= 1
        if self._is_closed:
            return
        if isinstance(answer, BaseException):
            self._begin_anew(str(answer) or repr(answer))
            return
        if answer["error_code"]:
            self._begin_anew(f"error {answer['error_code']}")
            return
        self._backoff_ms = 0
        self._is_new = False
        if answer["session_id"] != self._session_id:
            self._session_id = answer["session_id"]
            self._session_epoch = 1 if self._session_id else 0
        for topic in answer["responses"]:
            topic_id = topic["topic_id"]
            for told in topic["partitions"]:
                found = self._followed.get((topic_id, told["partition_index"]))
                if found is not None and found.is_answered_by(request_number):
                    try:
                        self._take_partition(found, told)
                    except Exception as error:
                        self._fail(found, error)
        self._send_changes()

    def _take_partition(self, found: _Followed, told: Body) -> None:
        partition, code = found.partition, told["error_code"]
        try:
            if code == 0:
                has_changed = _store(partition, told)
            elif code == _OFFSET_OUT_OF_RANGE:
                partition.begin_at(told["log_start_offset"], told["last_stable_offset"])
                has_changed = True
            else:
                self._pause(found, f"the leader answers error {code}", logging.DEBUG)
                return
        except HeadraceError as error:
            self._pause(found, str(error), logging.WARNING)
            return
        found.backoff_ms = 0
        log = partition.log
        found.is_in_sync = log is not None and told["high_watermark"] <= log.log_end_offset
        if self._quota.bytes_per_s != UNLIMITED and self._quota.is_throttled(partition):
            self._quota.record(len(told["records"]))
        if not has_changed:
            return
        if partition.must_flush_before_report:
            self._flush_first(found)
            return
        self._changed[found.key] = found
        size_bytes = len(told["records"])
        if size_bytes and found.is_in_sync:
            self._pace.answers_left = MEMORY_ANSWERS
        elif size_bytes:
            self._expect_more(found, size_bytes)

    def _expect_more(self, found: _Followed, size_bytes: int) -> None:
        """Get room for an answer like the last one, and for another while that one is under way;
        leave it out while there may be none even for the next one, or others go first."""
        found.answer_bytes = size_bytes
        pause_ms = self._pace.pause_ms()
        if pause_ms:
            self._leave_out(found)
            self._schedule(pause_ms, lambda: self._end_pause(found))
        elif found.is_making_room:
            found.awaits_room = True
            self._leave_out(found)
        if not found.is_making_room:
            found.is_making_room = True
            self._schedule(0, lambda: self._make_room(found))

    def _end_pause(self, found: _Followed) -> None:
        if found.is_making_room:
            found.awaits_room = True
        else:
            self._resume(found)

    def _make_room(self, found: _Followed) -> None:
        """One part of it; the next one in another turn of the loop."""
        found.is_making_room = False
        if self._followed.get(found.key) is not found or not found.partition.is_follower:
            return
        try:
            missing_bytes = found.partition.make_room(2 * found.answer_bytes)
        except HeadraceError as error:
            found.awaits_room = False
            self._pause(found, str(error), logging.WARNING)
            return
        except Exception as error:
            self._fail(found, error)
            return
        if missing_bytes:
            self._pace.give_way()
            found.is_making_room = True
            self._schedule(0, lambda: self._make_room(found))
        if found.awaits_room and missing_bytes <= found.answer_bytes:
            found.awaits_room = False
            self._resume(found)

    def _flush_first(self, found: _Followed) -> None:
        """Name it in no request until what it stored is on disk."""
        self._leave_out(found)
        found.partition.flush_before_report(
            lambda: self._resume(found), lambda error: self._flush_later(found, error)
        )

    def _flush_later(self, found: _Followed, error: BaseException) -> None:
        """A sync that failed has ended the log, and who follows; else none could be begun."""
        if self._is_followed(found):
            self._back_off(found, str(error), logging.WARNING)
            self._schedule(found.backoff_ms, lambda: self._flush_again(found))

    def _flush_again(self, found: _Followed) -> None:
        if self._is_followed(found):
            if found.partition.must_flush_before_report:
                self._flush_first(found)
            else:
                self._resume(found)

    def _is_followed(self, found: _Followed) -> bool:
        is_present = self._followed.get(found.key) is found
        return is_present and found.partition.is_follower and not self._is_closed

    def _leave_out(self, found: _Followed) -> None:
        """Name it in no request until `_resume`."""
        found.is_paused = True
        self._changed.pop(found.key, None)
        if found.is_in_session:
            found.is_in_session = False
            self._forgotten[found.key] = None

    def _hold_back(self, asked: list[_Followed]) -> None:
        """Leave out for now what is throttled and out of sync, if the quota is used up."""
        for found in asked:
            is_due = not found.is_paused and not found.is_in_sync
            if is_due and self._quota.holds_back(found.partition):
                self._leave_out(found)
                self._wait_for_quota(found)

    def _wait_for_quota(self, found: _Followed) -> None:
        # Not longer than after a refusal: the quota may be another by then.
        delay_ms = max(self._quota.free_in_ms(), MIN_BACKOFF_MS)
        self._schedule(min(delay_ms, self._settings.backoff_ms), lambda: self._look_again(found))

    def _look_again(self, found: _Followed) -> None:
        if not self._quota.holds_back(found.partition):
            self._resume(found)
        elif self._followed.get(found.key) is found:
            self._wait_for_quota(found)

    def _pause(self, found: _Followed, reason: str, level: int) -> None:
        """Leave a partition out for a while, which is longer each time."""
        self._back_off(found, reason, level)
        self._leave_out(found)
        self._schedule(found.backoff_ms, lambda: self._resume(found))

    def _back_off(self, found: _Followed, reason: str, level: int) -> None:
        found.backoff_ms = min(max(2 * found.backoff_ms, MIN_BACKOFF_MS), self._settings.backoff_ms)
        logger.log(
            level, "%r is fetched again in %d ms: %s", found.partition, found.backoff_ms, reason
        )

    def _fail(self, found: _Followed, error: Exception) -> None:
        """Fetch it no more: nobody can say what another try would do; `follow` begins anew."""
        logger.error(
            "%r is marked as failed: it follows broker %d no more until it has another leader "
            "epoch or this broker is restarted",
            found.partition,
            self.leader_id,
            exc_info=error,
        )
        self._leave_out(found)
        self._followed.pop(found.key, None)

    def _resume(self, found: _Followed) -> None:
        found.is_paused = False
        if self._followed.get(found.key) is found and not self._is_closed:
            self._changed[found.key] = found
            self._forgotten.pop(found.key, None)
            self._send_changes()

    def _begin_anew(self, reason: str) -> None:
        """The session is lost: ask in full after a while."""
        self._session_id = self._session_epoch = 0
        self._is_new = True
        self._changed = dict(self._followed)
        self._forgotten = {}
        for each in self._followed.values():
            each.is_in_session = False
        if self._retry is None and self._followed:
            self._backoff_ms = min(
                max(2 * self._backoff_ms, MIN_BACKOFF_MS), self._settings.backoff_ms
            )
            logger.info(
                "fetching from broker %d failed, again in %d ms: %s",
                self.leader_id,
                self._backoff_ms,
                reason,
            )
            self._retry = self._schedule(self._backoff_ms, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._send_changes()


def _store(partition: Partition, told: Body) -> bool:
    """Store what the leader told of one partition; whether the next request must name it."""
    diverging = told["diverging_epoch"]
    if diverging["end_offset"] >= 0:
        partition.truncate_for((diverging["epoch"], diverging["end_offset"]))
        return True
    records = told["records"]
    start_before = -1 if records else partition.log_start_offset
    partition.append_from_leader(
        records,
        leader_epoch=partition.leader_epoch,
        high_watermark=told["high_watermark"],
        log_start_offset=told["log_start_offset"],
    )
    # A log that begins elsewhere now is news too: the leader may wait to hear it (DeleteRecords).
    return start_before < 0 or partition.log_start_offset != start_before


def _by_topic(items: Iterable[tuple[bytes, Any]]) -> list[Body]:
    """(topic id, what is said of a partition) pairs in the shape of a request."""
    topics: dict[bytes, list[Any]] = {}
    for topic_id, partition in items:
        topics.setdefault(topic_id, []).append(partition)
    return [{"topic_id": topic_id, "partitions": each} for topic_id, each in topics.items()]

"""`Partition`: this broker's replica of one partition, and its part in it.

Its role, epochs and isr come from the partition's group; its records stand in the log.  A leader
notes how far its followers have fetched, moves the high watermark and releases who waits for it; a
follower stores what the leader sends.  One thread, the loop thread, calls everything.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..core.config_def import LONG_MAX
from ..core.errors import KafkaStorageError, OffsetOutOfRangeError
from .errors import (
    InvalidRequiredAcksError,
    NotEnoughReplicasAfterAppendError,
    NotEnoughReplicasError,
    NotLeaderOrFollowerError,
    OffsetNotAvailableError,
)
from .follower_log import cut_back, store_from_leader, truncation_offset
from .follower_state import FollowerState
from .followers import Followers
from .isr import DEFAULT_REPLICA_LAG_MS, is_under_min_isr
from .offset_questions import (
    EARLIEST_LOCAL_TIMESTAMP,
    EARLIEST_TIMESTAMP,
    ListedOffset,
    aborted_in,
    end_of_epoch,
    find_divergence,
    list_offset,
)
from .offset_waiters import OnPassed, Waiter
from .partition_state import NO_LEADER
from .replica import Replica
from .replica_log import ReplicaLog

READ_COMMITTED = 1

_NOTHING = memoryview(b"")
_new_tuple = tuple.__new__  # makes a named tuple without a call of Python's


class FetchedRecords(NamedTuple):
    """Whole batches from a mapping that outlives them, and the offsets that bound them.

    `aborted_transactions` are (producer_id, first_offset) pairs, None unless read_committed was
    asked; `diverging_epoch` is (epoch, end_offset) where the fetcher's log left ours, and then
    nothing was read.
    """

    records: memoryview
    high_watermark: int
    last_stable_offset: int
    log_start_offset: int
    aborted_transactions: list[tuple[int, int]] | None
    diverging_epoch: tuple[int, int] | None


NOTHING_YET = FetchedRecords(_NOTHING, -1, -1, -1, None, None)


class Partition(Replica):
    """A replica that leads or follows, as its group decides.  `log` is None while it is offline."""

    __slots__ = ()

    # -- records

    def append_records(
        self,
        records: Any,
        *,
        required_acks: int,
        produce_version: int = 99,
        origin: str = "client",
    ) -> Any:
        """Append one batch as the leader; gives the log's `AppendInfo`.

        With acks=-1 the batch is committed once `high_watermark > info.last_offset`: see
        `wait_for_high_watermark`.  Raises NotLeaderOrFollowerError, NotEnoughReplicasError,
        InvalidRequiredAcksError, KafkaStorageError, UnknownTopicOrPartitionError (deleted),
        and what the log raises of RecordError and SequenceError.
        """
        if not self.is_leader:
            raise self._why_not_leader()
        if required_acks == -1:
            if self._is_under_min_isr:
                raise NotEnoughReplicasError(
                    f"{self.topic}-{self.index} has {len(self.isr)} in-sync replicas, fewer than "
                    "min.insync.replicas"
                )
        elif required_acks not in (0, 1):
            raise InvalidRequiredAcksError(f"acks={required_acks}: only -1, 0 and 1 are defined")
        log = self.log
        assert log is not None, self
        try:
            info = log.append_as_leader(
                records,
                leader_epoch=self.leader_epoch,
                origin=origin,
                produce_version=produce_version,
            )
        except KafkaStorageError as error:
            self._note_refusal(error)
            raise
        if self._commits_alone:
            if self._may_flush and log.needs_flush_before_ack:
                log.flush_async(self._on_flushed, self._on_flush_failed)
            else:
                self.advance_high_watermark(info.last_offset + 1)
        else:
            self._hand_to_followers(log)
        return info

    def append_together(
        self, batches: Iterable[Any], *, origin: str = "client"
    ) -> tuple[int, int, int]:
        """Append batches with nothing between them; gives (first_offset, end_offset, leader_epoch).

        All or none: where one is refused, or `batches` raises, those before it are cut off again.
        Nobody saw them, so this is only for a partition whose one copy is here; raises
        NotLeaderOrFollowerError for any other, and what `append_records` raises.
        """
        if not self.is_leader:
            raise self._why_not_leader()
        if self.replicas != (self.broker_id,):
            raise NotLeaderOrFollowerError(
                f"{self.topic}-{self.index} has replicas {self.replicas}: append batch by batch"
            )
        log = self.log
        assert log is not None, self
        first_offset = log.log_end_offset
        try:
            for batch in batches:
                log.append_as_leader(batch, leader_epoch=self.leader_epoch, origin=origin)
        except BaseException:
            if log.log_end_offset > first_offset and not log.is_offline:
                log.truncate_to(first_offset)
            raise
        end_offset = log.log_end_offset
        if self._may_flush and log.needs_flush_before_ack:
            log.flush_async(self._on_flushed, self._on_flush_failed)
        else:
            self.advance_high_watermark(end_offset)
        return first_offset, end_offset, self.leader_epoch

    def fetch_records(
        self,
        *,
        fetch_offset: int,
        max_bytes: int,
        isolation_level: int = 0,
        current_leader_epoch: int = -1,
        last_fetched_epoch: int = -1,
        min_one_batch: bool = True,
    ) -> FetchedRecords:
        """Committed batches from `fetch_offset` on; none between high watermark and log end.

        Raises OffsetOutOfRangeError outside the log, and as `append_records` for epoch and role.
        """
        if current_leader_epoch not in (-1, self.leader_epoch) or not self.is_leader:
            raise self._why_refused(current_leader_epoch)
        log = self.log
        assert log is not None, self
        high_watermark = self.high_watermark
        last_stable_offset = log.last_stable_offset
        diverging = self._divergence(log, fetch_offset, last_fetched_epoch)
        if diverging is not None:
            start = log.log_start_offset
            return FetchedRecords(
                _NOTHING, high_watermark, last_stable_offset, start, None, diverging
            )
        upper_bound = last_stable_offset if isolation_level == READ_COMMITTED else high_watermark
        log_start_offset = log.log_start_offset
        if log_start_offset <= fetch_offset < upper_bound:
            records = log.read_records(
                start_offset=fetch_offset,
                max_bytes=max_bytes,
                upper_bound_offset=upper_bound,
                min_one_batch=min_one_batch,
            )
        elif log_start_offset <= fetch_offset <= log.log_end_offset:
            records = _NOTHING
        else:
            raise OffsetOutOfRangeError(fetch_offset, log_start_offset, log.log_end_offset)
        aborted = None
        if isolation_level == READ_COMMITTED:
            aborted = aborted_in(log, records, fetch_offset, upper_bound)
        return _new_tuple(
            FetchedRecords,
            (records, high_watermark, last_stable_offset, log_start_offset, aborted, None),
        )

    def delete_records(self, offset: int) -> int:
        """Move the log's start to `offset` (-1: the high watermark); the new low watermark."""
        if not self.is_leader:
            raise self._why_not_leader()
        log = self.usable_log()
        wanted = self.high_watermark if offset == -1 else offset
        if not 0 <= wanted <= self.high_watermark:
            raise OffsetOutOfRangeError(wanted, log.log_start_offset, self.high_watermark)
        if wanted > log.log_start_offset:
            log.increment_log_start_offset(wanted)
            self._wake_fetches()
        return log.log_start_offset

    @property
    def low_watermark(self) -> int:
        """Below this nothing is left on any replica that is up; UNKNOWN_OFFSET while unknown."""
        start = self.usable_log().log_start_offset
        return start if self._followers is None else self._followers.smallest_start(start)

    def wait_for_low_watermark(self, offset: int, on_passed: OnPassed) -> Waiter:
        """As `wait_for_high_watermark`, until every replica that is up begins at `offset`."""
        waiter = self._low_watermark_waiters.add_waiter(offset, on_passed)
        self._look_at_low_watermark()
        return waiter

    def _look_at_low_watermark(self) -> None:
        if not self._low_watermark_waiters.heap:
            return
        if self.is_leader:
            self._low_watermark_waiters.release_up_to(self.low_watermark)
        else:
            self._low_watermark_waiters.fail_all(self._why_not_leader())

    # -- questions about offsets

    def offset_for_timestamp(
        self, timestamp: int, *, isolation_level: int = 0, current_leader_epoch: int = -1
    ) -> ListedOffset:
        """ListOffsets: the earliest visible record at or after `timestamp`, or a special -1..-6.

        Raises OffsetNotAvailableError while this leader does not know yet how far its predecessor
        had committed (KIP-207).
        """
        if current_leader_epoch not in (-1, self.leader_epoch) or not self.is_leader:
            raise self._why_refused(current_leader_epoch)
        log = self.usable_log()
        followers = self._followers
        if (
            followers is not None
            and self.high_watermark < followers.epoch_start_offset
            and timestamp not in (EARLIEST_TIMESTAMP, EARLIEST_LOCAL_TIMESTAMP)
        ):
            raise OffsetNotAvailableError(
                f"the high watermark of {self.topic}-{self.index} is not known yet in epoch "
                f"{self.leader_epoch}"
            )
        end = log.last_stable_offset if isolation_level == READ_COMMITTED else self.high_watermark
        return list_offset(log, timestamp, end=end, current_epoch=self.leader_epoch)

    def end_offset_for_epoch(
        self, leader_epoch: int, *, current_leader_epoch: int = -1
    ) -> tuple[int, int]:
        """(epoch, end offset) of the largest epoch up to `leader_epoch`; (-1, -1) if unknown."""
        if current_leader_epoch not in (-1, self.leader_epoch) or not self.is_leader:
            raise self._why_refused(current_leader_epoch)
        return end_of_epoch(self.usable_log(), leader_epoch, current_epoch=self.leader_epoch)

    # -- what a leader does with its followers

    def fetch_for_follower(
        self,
        *,
        broker_id: int,
        incarnation: int,
        fetch_offset: int,
        log_start_offset: int,
        last_fetched_epoch: int,
        current_leader_epoch: int,
        max_bytes: int,
        now_ms: int,
        min_one_batch: bool = True,
        may_wait: bool = False,
    ) -> FetchedRecords:
        """Batches from `fetch_offset` up to the log's end; the follower has all before it.

        That may move the high watermark and bring the follower into the isr.  NOTHING_YET where
        there is no batch, if it `may_wait` for one.  Raises as `fetch_records`, and
        StaleBrokerEpochError for an incarnation that is not the live one.
        """
        followers, log = self._followers, self.log
        if current_leader_epoch != self.leader_epoch or not self.is_leader:
            raise self._why_refused(current_leader_epoch)
        if followers is None or log is None:
            raise NotLeaderOrFollowerError(f"{self.topic}-{self.index} has no other replica")
        follower = followers.follower(broker_id, incarnation)
        start_offset, end_offset = log.log_start_offset, log.log_end_offset
        records, diverging = _NOTHING, None
        # Within our epoch logs part only where one goes on behind our end.
        if last_fetched_epoch != current_leader_epoch or fetch_offset > end_offset:
            diverging = self._divergence(log, fetch_offset, last_fetched_epoch)
        if diverging is None:
            if not start_offset <= fetch_offset <= end_offset:
                raise OffsetOutOfRangeError(fetch_offset, start_offset, end_offset)
            follower.note_fetch(incarnation, fetch_offset, log_start_offset, end_offset, now_ms)
            if fetch_offset > self.high_watermark and not self._commits_alone:
                self._commit_with_followers()
            if (broker_id, incarnation) not in followers.members:
                followers.consider_growth(follower, self.high_watermark)
            if self._low_watermark_waiters.heap:
                self._look_at_low_watermark()
            if fetch_offset < end_offset:
                records = self._read_for(follower, log, max_bytes, min_one_batch)
            elif may_wait:
                return NOTHING_YET
        stable_offset = log.last_stable_offset
        return _new_tuple(
            FetchedRecords,
            (records, self.high_watermark, stable_offset, start_offset, None, diverging),
        )

    def _read_for(
        self, follower: FollowerState, log: ReplicaLog, max_bytes: int, min_one_batch: bool
    ) -> memoryview:
        """What stands behind the follower's log; what it asks for again it may have refused."""
        fetch_offset = follower.log_end_offset
        records = log.read_records(
            start_offset=fetch_offset,
            max_bytes=max_bytes,
            upper_bound_offset=log.log_end_offset,
            min_one_batch=min_one_batch,
            reader_compares=fetch_offset != follower.given_offset,
        )
        if records:
            follower.given_offset = fetch_offset
        return records

    def _divergence(
        self, log: ReplicaLog, fetch_offset: int, last_fetched_epoch: int
    ) -> tuple[int, int] | None:
        """See `find_divergence`; a fetcher that does not say which epoch it has is believed."""
        if last_fetched_epoch < 0:
            return None
        return find_divergence(
            log, fetch_offset, last_fetched_epoch, current_epoch=self.leader_epoch
        )

    def review_isr(
        self,
        now_ms: int,
        max_lag_ms: int = DEFAULT_REPLICA_LAG_MS,
        *,
        may_peers_differ: bool = True,
    ) -> None:
        """Ask for the isr that should be: see `Followers.review`.

        `may_peers_differ`: since the last time a broker may have come or gone, or have begun or
        ceased to serve its copy.
        """
        if self._followers is not None:
            leader_end = self.usable_log().log_end_offset
            if not may_peers_differ and self._followers.still_have_all(leader_end, now_ms):
                return
            self._followers.review(
                leader_end=leader_end,
                high_watermark=self.high_watermark,
                now_ms=now_ms,
                max_lag_ms=max_lag_ms,
            )
            self._look_at_low_watermark()  # who is gone need not follow

    def _hand_to_followers(self, log: ReplicaLog) -> None:
        """Batches were appended that are committed once the followers have them."""
        if self._may_flush and log.needs_flush_before_ack:
            log.flush_async(self._on_flushed, self._on_flush_failed)
        self._append_waiters.wake_all()

    def _commit_with_followers(self) -> None:
        """Move the high watermark to where the leader and all that count have come."""
        followers, log = self._followers, self.log
        if followers is None or log is None or self._is_held_back:
            return
        own_end = log.log_end_offset
        if self._may_flush and log.needs_flush_before_ack:
            own_end = min(own_end, log.recovery_point)
        self.advance_high_watermark(followers.smallest_end(own_end))

    def _count_who_commits(self) -> None:
        """Work out whether an append is committed by this broker alone."""
        followers = self._followers
        commits_alone = not self._is_held_back and (
            followers is None or followers.counted_ids == {self.broker_id}
        )
        if commits_alone != self._commits_alone:
            self._commits_alone = commits_alone
            self._wake_fetches()  # followers wait elsewhere from now on

    # -- what a follower does

    def append_from_leader(
        self, records: memoryview, *, leader_epoch: int, high_watermark: int, log_start_offset: int
    ) -> None:
        """Store batches that the leader of `leader_epoch` sent, with what it said about its log.

        Raises NotLeaderOrFollowerError where that leader is followed no more, CorruptRecordError,
        KafkaStorageError.
        """
        if not self.is_follower or leader_epoch != self.leader_epoch:
            raise self._why_not_leader()
        log = self.usable_log()
        try:
            store_from_leader(log, records, log_start_offset)
        except KafkaStorageError as error:
            self._note_refusal(error)
            raise
        committed, log_start, log_end = high_watermark, log.log_start_offset, log.log_end_offset
        if committed > log_end:
            committed = log_end
        if committed < log_start:
            committed = log_start
        if committed > self.high_watermark:
            self.high_watermark = committed
            log.update_high_watermark(committed)

    def make_room(self, size_bytes: int) -> int:
        """See `Log.make_room`; raises KafkaStorageError."""
        log = self.usable_log()
        try:
            return log.make_room(size_bytes)
        except KafkaStorageError as error:
            self._note_refusal(error)
            raise

    @property
    def must_flush_before_report(self) -> bool:
        """Whether flush.messages asks for a sync before the leader may count on what was stored."""
        log = self.usable_log()
        return log.config.flush_messages < LONG_MAX and log.needs_flush_before_ack

    def flush_before_report(
        self, on_flushed: Callable[[], None], on_error: Callable[[BaseException], None]
    ) -> None:
        """Sync what was stored.  A sync that failed has ended the log before `on_error` is called;
        one that could not begin has not: no descriptor was left."""
        self.usable_log().flush_async(lambda _: on_flushed(), on_error)

    def truncate_for(self, diverging_epoch: tuple[int, int]) -> None:
        """Cut off what the leader does not have: its log left ours at (epoch, end offset)."""
        log = self.usable_log()
        assert self.is_follower, self
        self._cut_back(log, truncation_offset(log, *diverging_epoch))

    def begin_at(self, leader_start: int, leader_end: int) -> None:
        """Go on within the bounds of the leader's log, outside of which ours ends."""
        log = self.usable_log()
        assert self.is_follower, self
        if log.log_end_offset < leader_start:
            log.truncate_fully_and_start_at(leader_start)
            self.high_watermark = leader_start
        elif log.log_end_offset > leader_end:
            self._cut_back(log, leader_end)

    def _cut_back(self, log: ReplicaLog, offset: int) -> None:
        cut_back(log, offset)
        self.high_watermark = min(self.high_watermark, log.log_end_offset)

    def _on_flushed(self, flushed_offset: int) -> None:
        if self.is_leader:
            if self._commits_alone:
                self.advance_high_watermark(flushed_offset)
            else:
                self._commit_with_followers()

    def _on_flush_failed(self, error: BaseException) -> None:
        self._offset_waiters.fail_all(error)

    # -- changes of state, made by the ReplicaManager

    def take_log(self, log: ReplicaLog) -> None:
        """The log is open: the partition may take its role."""
        self.log = log
        self.offline_reason = ""
        self.high_watermark = max(log.log_start_offset, log.high_watermark)

    def replace_log(self, log: ReplicaLog) -> None:
        """The same records are in another folder now."""
        assert self.log is not None, self
        assert log.log_end_offset == self.log.log_end_offset, (log.path, self.log.path)
        self.log = log

    def state_changed(self) -> None:
        """Take the role that the group's present state gives this broker."""
        state = self._group.state
        was_leader, was_follower = self.is_leader, self.is_follower
        is_new_epoch = state.leader_epoch != self.leader_epoch
        self.leader_epoch = state.leader_epoch
        has_log = self.log is not None and not self._is_deleted
        self.is_leader = has_log and state.leader == self.broker_id and self._group.may_lead
        others_lead = state.leader not in (NO_LEADER, self.broker_id)
        may_follow = has_log and others_lead and self.broker_id in state.replicas
        self.is_past_leader = may_follow and self._has_forgotten_epochs(state.leader_epoch)
        self.is_follower = may_follow and not self.is_past_leader
        if not self.is_leader or is_new_epoch or not was_leader:
            self._followers = None
        if self._followers is not None:
            self._followers.take_state()
        elif self.is_leader and state.replicas != (self.broker_id,):
            self._followers = self._meet_followers()
        self._weigh()
        if was_leader and not self.is_leader:
            self._offset_waiters.fail_all(self._why_not_leader())
        self._look_at_low_watermark()
        self._wake_fetches()
        has_role_changed = was_leader != self.is_leader or was_follower != self.is_follower
        if (is_new_epoch or has_role_changed) and self.on_role_changed is not None:
            self.on_role_changed(self)
        self.review_isr(self._clock.monotonic_ms())

    def _has_forgotten_epochs(self, leader_epoch: int) -> bool:
        """Whether records here are of a later epoch than the newest that this broker knows of.

        It restarted, and has not heard yet what was decided since: that leader was deposed.  What
        it lacks of these records may be committed, so they are not cut for it.
        """
        return self.usable_log().latest_epoch > leader_epoch

    def _meet_followers(self) -> Followers:
        return Followers(
            self._group,
            broker_id=self.broker_id,
            epoch_start_offset=self.usable_log().log_end_offset,
            incarnation_of=self._incarnation_of,
            clock=self._clock,
            min_in_sync=self._min_in_sync,
            on_counted=self._weigh,
        )

    def _min_in_sync(self) -> int:
        return self.usable_log().config.min_insync_replicas

    def config_changed(self) -> None:
        """The topic's settings changed."""
        self._weigh()
        self.review_isr(self._clock.monotonic_ms())

    def _weigh(self) -> None:
        """Work out what may be committed: the topic's settings, the isr or the role changed.

        Nothing is committed below min.insync.replicas (KIP-966), as what is committed is to survive
        with that many replicas; nor while there is an elr, whose members hold what is committed so
        far: where enough are in sync the leader asks for it to be empty first.
        """
        log = self.log
        if log is None or not self.is_leader:
            return
        state = self._group.state
        was_under_min_isr = self._is_under_min_isr
        self._is_under_min_isr = is_under_min_isr(
            isr_size=len(state.isr),
            min_insync_replicas=self._min_in_sync(),
            replica_count=len(state.replicas),
        )
        self._is_held_back = self._is_under_min_isr or bool(state.elr)
        self._may_flush = log.config.flush_messages < LONG_MAX
        self._count_who_commits()
        if self._is_under_min_isr and not was_under_min_isr and self._offset_waiters.heap:
            self._offset_waiters.fail_all(
                NotEnoughReplicasAfterAppendError(
                    f"{self.topic}-{self.index} was appended to, and fell below min.insync.replicas"
                )
            )
        must_flush = self._may_flush and log.needs_flush_before_ack
        if must_flush:
            # Also what an earlier life left, behind which nobody may append for long.
            log.flush_async(self._on_flushed, self._on_flush_failed)
        if not self._commits_alone:
            self._commit_with_followers()
        elif not must_flush:
            self.advance_high_watermark(log.log_end_offset)

    def go_offline(self, reason: str) -> None:
        """The log cannot be used; clients get KafkaStorageError until the broker restarts."""
        self.log = None
        self.offline_reason = reason
        self._stop_serving()

    def mark_deleted(self) -> None:
        """The topic is gone; everyone who waits gets UnknownTopicOrPartitionError.

        Who still holds this, as a fetch session that nobody uses, holds no log."""
        self._is_deleted = True
        self.log = None
        self._stop_serving()

    def stop(self) -> None:
        """The broker stops: refuse everything, release everyone."""
        self._stop_serving()

    def _stop_serving(self) -> None:
        had_role = self.is_leader or self.is_follower
        self.is_leader = self.is_follower = self.is_past_leader = False
        self._followers = None
        self._offset_waiters.fail_all(self._why_not_leader())
        self._look_at_low_watermark()
        self._wake_fetches()
        if had_role and self.on_role_changed is not None:
            self.on_role_changed(self)

"""`Partition`: this broker's replica of one partition, and its part in it.

Its role, epochs and isr come from the partition's group; its records stand in the log.  A leader
moves the high watermark and releases who waits for it.  One thread, the loop thread, calls
everything.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ..core.config_def import LONG_MAX
from ..core.errors import KafkaStorageError, OffsetOutOfRangeError
from ..core.record_batch import iter_batches
from .errors import (
    FencedLeaderEpochError,
    InvalidRequestError,
    InvalidRequiredAcksError,
    NotEnoughReplicasError,
    NotLeaderOrFollowerError,
    UnknownLeaderEpochError,
    UnknownTopicOrPartitionError,
)
from .isr import is_under_min_isr
from .offset_waiters import FetchWaiters, OffsetWaiters, OnPassed, Waiter
from .partition_group import PartitionGroup
from .partition_state import NO_LEADER
from .replica_log import ReplicaLog

LATEST_TIMESTAMP = -1
EARLIEST_TIMESTAMP = -2
MAX_TIMESTAMP = -3
EARLIEST_LOCAL_TIMESTAMP = -4
LATEST_TIERED_TIMESTAMP = -5
EARLIEST_PENDING_UPLOAD_TIMESTAMP = -6

READ_COMMITTED = 1

_NOTHING = memoryview(b"")


class ListedOffset(NamedTuple):
    """The answer to a timestamp; all three are -1 where there is none."""

    timestamp: int
    offset: int
    leader_epoch: int


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


class Partition:
    """One replica.  `log` is None while it is offline; `offline_reason` then says why."""

    __slots__ = (
        "_commits_alone",
        "_fetch_waiters",
        "_group",
        "_is_deleted",
        "_is_under_min_isr",
        "_may_flush",
        "_offset_waiters",
        "broker_id",
        "high_watermark",
        "index",
        "is_leader",
        "leader_epoch",
        "log",
        "offline_reason",
        "on_committed",
        "topic",
        "topic_id",
    )

    def __init__(
        self, *, topic: str, index: int, topic_id: bytes, broker_id: int, group: PartitionGroup
    ) -> None:
        self.topic = topic
        self.index = index
        self.topic_id = topic_id
        self.broker_id = broker_id
        self.log: ReplicaLog | None = None
        self.offline_reason = "its log was not opened yet"
        self.is_leader = False
        self.leader_epoch = group.state.leader_epoch
        self.high_watermark = 0
        self.on_committed: Callable[[], None] | None = None
        self._group = group
        self._is_deleted = False
        self._is_under_min_isr = False
        self._may_flush = False
        self._commits_alone = False
        self._offset_waiters = OffsetWaiters()
        self._fetch_waiters = FetchWaiters()

    def __repr__(self) -> str:
        return f"<Partition {self.topic}-{self.index} epoch={self.leader_epoch}>"

    # -- what it is

    @property
    def group(self) -> PartitionGroup:
        return self._group

    @property
    def replicas(self) -> tuple[int, ...]:
        return self._group.state.replicas

    @property
    def isr(self) -> tuple[int, ...]:
        return tuple(broker_id for broker_id, _ in self._group.state.isr)

    @property
    def leader_id(self) -> int:
        """The broker that leads, NO_LEADER (-1) where nobody does or our own log is offline."""
        leader = self._group.state.leader
        if leader == self.broker_id and not self.is_leader:
            return NO_LEADER
        return leader

    @property
    def partition_epoch(self) -> int:
        return self._group.state.partition_epoch

    @property
    def is_online(self) -> bool:
        return self.log is not None

    @property
    def last_stable_offset(self) -> int:
        return self._usable_log().last_stable_offset

    @property
    def log_start_offset(self) -> int:
        return self._usable_log().log_start_offset

    @property
    def log_end_offset(self) -> int:
        return self._usable_log().log_end_offset

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
        info = log.append_as_leader(
            records,
            leader_epoch=self.leader_epoch,
            origin=origin,
            produce_version=produce_version,
        )
        if self._commits_alone:
            if self._may_flush and log.needs_flush_before_ack:
                log.flush_async(self._on_flushed, self._on_flush_failed)
            else:
                self.advance_high_watermark(info.last_offset + 1)
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
        if last_fetched_epoch >= 0:
            diverging = self._divergence(log, fetch_offset, last_fetched_epoch)
            if diverging is not None:
                return FetchedRecords(
                    _NOTHING,
                    high_watermark,
                    last_stable_offset,
                    log.log_start_offset,
                    None,
                    diverging,
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
            aborted = _aborted_in(log, records, fetch_offset, upper_bound)
        return FetchedRecords(
            records, high_watermark, last_stable_offset, log_start_offset, aborted, None
        )

    def delete_records(self, offset: int) -> int:
        """Move the log's start to `offset` (-1: the high watermark); the new low watermark."""
        if not self.is_leader:
            raise self._why_not_leader()
        log = self._usable_log()
        wanted = self.high_watermark if offset == -1 else offset
        if not 0 <= wanted <= self.high_watermark:
            raise OffsetOutOfRangeError(wanted, log.log_start_offset, self.high_watermark)
        if wanted > log.log_start_offset:
            log.increment_log_start_offset(wanted)
            self._fetch_waiters.wake_all()
        return log.log_start_offset

    # -- questions about offsets

    def offset_for_timestamp(
        self, timestamp: int, *, isolation_level: int = 0, current_leader_epoch: int = -1
    ) -> ListedOffset:
        """ListOffsets: the earliest visible record at or after `timestamp`, or a special -1..-6."""
        if current_leader_epoch not in (-1, self.leader_epoch) or not self.is_leader:
            raise self._why_refused(current_leader_epoch)
        log = self._usable_log()
        end = log.last_stable_offset if isolation_level == READ_COMMITTED else self.high_watermark
        if timestamp == LATEST_TIMESTAMP:
            return ListedOffset(-1, end, self.leader_epoch)
        if timestamp in (EARLIEST_TIMESTAMP, EARLIEST_LOCAL_TIMESTAMP):
            start = log.log_start_offset
            return ListedOffset(-1, start, self._epoch_of(log, start))
        if timestamp in (LATEST_TIERED_TIMESTAMP, EARLIEST_PENDING_UPLOAD_TIMESTAMP):
            return ListedOffset(-1, -1, -1)
        if timestamp < EARLIEST_PENDING_UPLOAD_TIMESTAMP:
            raise InvalidRequestError(f"timestamp {timestamp} has no meaning")
        found = (
            log.find_max_timestamp()
            if timestamp == MAX_TIMESTAMP
            else log.find_offset_by_timestamp(timestamp)
        )
        if found is None or found.offset >= end:
            return ListedOffset(-1, -1, -1)
        return ListedOffset(found.timestamp, found.offset, found.leader_epoch)

    def end_offset_for_epoch(
        self, leader_epoch: int, *, current_leader_epoch: int = -1
    ) -> tuple[int, int]:
        """(epoch, end offset) of the largest epoch up to `leader_epoch`; (-1, -1) if unknown."""
        if current_leader_epoch not in (-1, self.leader_epoch) or not self.is_leader:
            raise self._why_refused(current_leader_epoch)
        return self._end_of_epoch(self._usable_log(), leader_epoch)

    def _end_of_epoch(self, log: ReplicaLog, leader_epoch: int) -> tuple[int, int]:
        if leader_epoch == self.leader_epoch:
            return leader_epoch, log.log_end_offset
        if leader_epoch > self.leader_epoch or leader_epoch < 0:
            return -1, -1
        # The log learns an epoch with its first batch; epochs without one end where the log does.
        if leader_epoch >= log.latest_epoch >= 0:
            return log.latest_epoch, log.log_end_offset
        return log.end_offset_for_epoch(leader_epoch)

    def _epoch_of(self, log: ReplicaLog, offset: int) -> int:
        if offset >= log.log_end_offset:
            return self.leader_epoch
        return log.epoch_at(offset)

    def _divergence(
        self, log: ReplicaLog, fetch_offset: int, last_fetched_epoch: int
    ) -> tuple[int, int] | None:
        epoch, end_offset = self._end_of_epoch(log, last_fetched_epoch)
        if epoch < 0:
            raise OffsetOutOfRangeError(fetch_offset, log.log_start_offset, log.log_end_offset)
        if epoch < last_fetched_epoch or end_offset < fetch_offset:
            return epoch, end_offset
        return None

    # -- waiting

    def wait_for_high_watermark(self, offset: int, on_passed: OnPassed) -> Waiter:
        """Call `on_passed(None)` once the high watermark reaches `offset`, else with an error.

        Called at once, before this returns, if it has reached it.
        """
        if not self.is_leader:
            on_passed(self._why_not_leader())
        elif offset <= self.high_watermark:
            on_passed(None)
        else:
            return self._offset_waiters.add_waiter(offset, on_passed)
        return _PASSED

    def add_fetch_waiter(self, on_available: Callable[[], None]) -> Waiter:
        """Call `on_available()` once, when more can be fetched or the partition's state changes."""
        return self._fetch_waiters.add_waiter(on_available)

    def advance_high_watermark(self, offset: int) -> None:
        """Every replica that counts has all before `offset`; an older `offset` is ignored."""
        if offset <= self.high_watermark:
            return
        log = self.log
        assert log is not None, self
        assert offset <= log.log_end_offset, (offset, log.log_end_offset)
        self.high_watermark = offset
        log.update_high_watermark(offset)
        if self._offset_waiters.heap:
            self._offset_waiters.release_up_to(offset)
        if self._fetch_waiters.waiting:
            self._fetch_waiters.wake_all()
        if self.on_committed is not None:
            self.on_committed()

    def _on_flushed(self, flushed_offset: int) -> None:
        if self.is_leader and self._commits_alone:
            self.advance_high_watermark(flushed_offset)

    def _on_flush_failed(self, error: BaseException) -> None:
        self._offset_waiters.fail_all(error)

    # -- changes of state, made by the ReplicaManager

    def take_log(self, log: ReplicaLog) -> None:
        """The log is open: the partition may take its role."""
        self.log = log
        self.offline_reason = ""
        self.high_watermark = max(log.log_start_offset, log.high_watermark)

    def state_changed(self) -> None:
        """Take the role that the group's present state gives this broker."""
        state = self._group.state
        self.leader_epoch = state.leader_epoch
        was_leader = self.is_leader
        self.is_leader = state.leader == self.broker_id and self.log is not None
        self.config_changed()
        if was_leader and not self.is_leader:
            self._offset_waiters.fail_all(self._why_not_leader())
        self._fetch_waiters.wake_all()

    def config_changed(self) -> None:
        """The topic's settings, the isr or the role changed."""
        log = self.log
        if log is None or not self.is_leader:
            return
        self._is_under_min_isr = is_under_min_isr(
            isr_size=len(self._group.state.isr),
            min_insync_replicas=log.config.min_insync_replicas,
            replica_count=len(self._group.state.replicas),
        )
        self._commits_alone = self.isr == (self.broker_id,)
        self._may_flush = log.config.flush_messages < LONG_MAX
        if not self._commits_alone:
            return
        if self._may_flush and log.needs_flush_before_ack:
            log.flush_async(self._on_flushed, self._on_flush_failed)
        else:
            self.advance_high_watermark(log.log_end_offset)

    def go_offline(self, reason: str) -> None:
        """The log cannot be used; clients get KafkaStorageError until the broker restarts."""
        self.log = None
        self.offline_reason = reason
        self._stop_serving()

    def mark_deleted(self) -> None:
        """The topic is gone; everyone who waits gets UnknownTopicOrPartitionError."""
        self._is_deleted = True
        self._stop_serving()

    def stop(self) -> None:
        """The broker stops: refuse everything, release everyone."""
        self._stop_serving()

    def _stop_serving(self) -> None:
        self.is_leader = False
        self._offset_waiters.fail_all(self._why_not_leader())
        self._fetch_waiters.wake_all()

    # -- refusals

    def _usable_log(self) -> ReplicaLog:
        if self.log is None:
            raise self._why_not_leader()
        return self.log

    def _why_not_leader(self) -> Exception:
        if self._is_deleted:
            return UnknownTopicOrPartitionError(f"{self.topic}-{self.index} was deleted")
        if self.log is None:
            return KafkaStorageError(Path(f"{self.topic}-{self.index}"), self.offline_reason)
        return NotLeaderOrFollowerError(
            f"broker {self.broker_id} does not lead {self.topic}-{self.index}"
        )

    def _why_refused(self, current_leader_epoch: int) -> Exception:
        if not self.is_leader:
            return self._why_not_leader()
        if current_leader_epoch < self.leader_epoch:
            return FencedLeaderEpochError(
                f"epoch {current_leader_epoch} is older than {self.leader_epoch}"
            )
        return UnknownLeaderEpochError(
            f"epoch {current_leader_epoch} is newer than {self.leader_epoch}"
        )


def _aborted_in(
    log: ReplicaLog, records: memoryview, fetch_offset: int, upper_bound: int
) -> list[tuple[int, int]]:
    """(producer_id, first_offset) of the aborted transactions that overlap `records`."""
    if not records:
        return []
    found = log.aborted_transactions(fetch_offset, upper_bound)
    if not found:
        return []
    end_offset = max(batch.next_offset for batch in iter_batches(records))
    return [
        (each.producer_id, each.first_offset) for each in found if each.first_offset < end_offset
    ]


class _PassedWaiter:
    def cancel(self) -> None:
        """There is nothing left to wait for."""


_PASSED = _PassedWaiter()

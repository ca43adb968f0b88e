"""`Replica`: what every copy of a partition is, whatever its role: names, state, who waits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.clock import Clock, SystemClock
from ..core.errors import KafkaStorageError
from .errors import (
    FencedLeaderEpochError,
    NotLeaderOrFollowerError,
    UnknownLeaderEpochError,
    UnknownTopicOrPartitionError,
)
from .followers import DecidingGroup, Followers
from .offset_waiters import FetchWaiters, OffsetWaiters, OnPassed, Waiter
from .partition_state import NO_LEADER
from .replica_log import ReplicaLog

NO_EPOCH = -1

_SYSTEM_CLOCK = SystemClock()


def nobody_is_live(_broker_id: int) -> int | None:
    """The incarnations that a broker knows of who has no peers."""
    return None


class Replica:
    """One replica.  `log` is None while it is offline; `offline_reason` then says why."""

    __slots__ = (
        "_append_waiters",
        "_clock",
        "_commits_alone",
        "_fetch_waiters",
        "_followers",
        "_group",
        "_incarnation_of",
        "_is_deleted",
        "_is_held_back",
        "_is_under_min_isr",
        "_low_watermark_waiters",
        "_may_flush",
        "_offset_waiters",
        "broker_id",
        "high_watermark",
        "index",
        "is_follower",
        "is_leader",
        "is_past_leader",
        "leader_epoch",
        "log",
        "offline_reason",
        "on_committed",
        "on_no_room",
        "on_role_changed",
        "topic",
        "topic_id",
    )

    def __init__(
        self,
        *,
        topic: str,
        index: int,
        topic_id: bytes,
        broker_id: int,
        group: DecidingGroup,
        incarnation_of: Callable[[int], int | None] = nobody_is_live,
        clock: Clock = _SYSTEM_CLOCK,
    ) -> None:
        """`incarnation_of`: that of a broker whose link is up, else None."""
        self.topic = topic
        self.index = index
        self.topic_id = topic_id
        self.broker_id = broker_id
        self.log: ReplicaLog | None = None
        self.offline_reason = "its log was not opened yet"
        self.is_leader = False
        self.is_follower = False
        self.is_past_leader = False  # its log has records of later epochs than the leader's
        self.leader_epoch = group.state.leader_epoch
        self.high_watermark = 0
        self.on_committed: Callable[[], None] | None = None
        # Called when the log could not be written because the disk is full.
        self.on_no_room: Callable[[Any], None] | None = None
        # Called when this broker leads, follows, follows another or a later epoch, or stops to.
        self.on_role_changed: Callable[[Any], None] | None = None
        self._group = group
        self._incarnation_of = incarnation_of
        self._clock = clock
        self._followers: Followers | None = None  # of a leader whose partition has several copies
        self._is_deleted = False
        self._is_under_min_isr = False
        self._is_held_back = False  # nothing more is committed for now: see `Partition._weigh`
        self._may_flush = False
        self._commits_alone = False
        self._offset_waiters = OffsetWaiters()
        self._low_watermark_waiters = OffsetWaiters()
        self._fetch_waiters = FetchWaiters()
        self._append_waiters = FetchWaiters()  # followers, who read up to the log's end

    def __repr__(self) -> str:
        return f"<Partition {self.topic}-{self.index} epoch={self.leader_epoch}>"

    # -- what it is

    @property
    def group(self) -> Any:
        """The `DecidingGroup` that was given."""
        return self._group

    @property
    def is_deleted(self) -> bool:
        """Whether its topic is gone."""
        return self._is_deleted

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
        return self.usable_log().last_stable_offset

    @property
    def log_start_offset(self) -> int:
        return self.usable_log().log_start_offset

    @property
    def log_end_offset(self) -> int:
        return self.usable_log().log_end_offset

    @property
    def awaits_own_sync(self) -> bool:
        """Whether only a sync of this broker's own log keeps the end of it from being committed."""
        log = self.log
        if log is None or not self.is_leader or not self._commits_alone:
            return False
        return self.high_watermark < log.log_end_offset

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

    def add_append_waiter(self, on_available: Callable[[], None]) -> Waiter:
        """As `add_fetch_waiter` for a follower, who may read what is not committed yet."""
        waiters = self._fetch_waiters if self._commits_alone else self._append_waiters
        return waiters.add_waiter(on_available)

    def _wake_fetches(self) -> None:
        self._fetch_waiters.wake_all()
        self._append_waiters.wake_all()

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

    def has_given_all(self, offset: int, *, is_stable: bool, epochs: tuple[int, int]) -> bool:
        """Whether a consumer that asks from `offset` on has all there is for it by now.

        `is_stable`: it reads committed transactions only; `epochs` as it has them, current and
        last.  False, too, where something may refuse it, which `fetch_records` then tells.
        """
        log = self.log
        if not self.is_leader or log is None:
            return False
        for epoch in epochs:  # one of another may be fenced, or have records that are not ours
            if epoch not in (NO_EPOCH, self.leader_epoch):
                return False
        return offset == (log.last_stable_offset if is_stable else self.high_watermark)

    # -- refusals

    def _note_refusal(self, error: KafkaStorageError) -> None:
        if error.is_passing and self.on_no_room is not None:
            self.on_no_room(self)

    def usable_log(self) -> ReplicaLog:
        """Its log; raises UnknownTopicOrPartitionError once deleted, KafkaStorageError offline."""
        if self.log is None:
            raise self._why_not_leader()
        return self.log

    def _why_not_leader(self) -> Exception:
        if self._is_deleted:
            return UnknownTopicOrPartitionError(
                f"{self.topic}-{self.index} was deleted", self.topic, self.index
            )
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


class _PassedWaiter:
    def cancel(self) -> None:
        """There is nothing left to wait for."""


_PASSED = _PassedWaiter()

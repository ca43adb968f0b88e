"""`Followers`: whom a leader counts before it commits, and who enters or leaves the isr.

Made anew with every leader epoch: what a follower held for an earlier leader says nothing.

    asked to join    counts at once, before it is decided
    asked to leave   counts until it is decided
    restarted        counts for nobody until it is decided that it is in sync again: it may have
                     forgotten that it follows another by now, and who leads may not know it
    no answer        both count, and the same command is asked for again; a state of a later
                     partition_epoch ends the doubt either way
    stale            as no answer: an earlier try may be what it came too late for
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from ..core.clock import Clock
from .errors import NotLeaderOrFollowerError, StaleBrokerEpochError
from .follower_state import NEVER_MS, UNKNOWN_OFFSET, FollowerState
from .isr import grown_isr, is_under_min_isr, maximal_isr, may_join_isr, shrunk_isr
from .partition_state import AlterIsr, IsrMember, Outcome, PartitionCommand, PartitionState

ISR_RETRY_MS = 500

OnDecided = Callable[[Any], None]
"""Gets the `Outcome` of a command, or the error that left it undecided."""


class DecidingGroup(Protocol):
    """What a partition asks of the group that agrees on its state."""

    @property
    def group_id(self) -> str: ...
    @property
    def state(self) -> PartitionState: ...
    @property
    def may_lead(self) -> bool:
        """Whether this broker was elected in this life of its process, if it was elected."""
        ...

    def propose(self, command: PartitionCommand, on_done: OnDecided) -> None: ...


class Followers:
    """The followers of one leader epoch.  `on_counted` is called when other brokers count.

    `members`: the maximal isr, `counted_ids` its brokers.  `epoch_start_offset`: where the leader's
    log ended when the epoch began.
    """

    __slots__ = (
        "_broker_id",
        "_by_id",
        "_clock",
        "_counted",
        "_group",
        "_incarnation_of",
        "_is_complete",
        "_leader_epoch",
        "_min_in_sync",
        "_on_counted",
        "_pending",
        "_retry_ms",
        "counted_ids",
        "epoch_start_offset",
        "members",
    )

    def __init__(
        self,
        group: DecidingGroup,
        *,
        broker_id: int,
        epoch_start_offset: int,
        incarnation_of: Callable[[int], int | None],
        clock: Clock,
        min_in_sync: Callable[[], int],
        on_counted: Callable[[], None],
    ) -> None:
        """`min_in_sync` gives the topic's min.insync.replicas."""
        self.epoch_start_offset = epoch_start_offset
        self.members: frozenset[IsrMember] = frozenset()
        self.counted_ids: frozenset[int] = frozenset()
        self._group = group
        self._broker_id = broker_id
        self._incarnation_of = incarnation_of
        self._clock = clock
        self._min_in_sync = min_in_sync
        self._on_counted = on_counted
        self._leader_epoch = group.state.leader_epoch
        self._pending: AlterIsr | None = None
        self._retry_ms: int | None = None
        # Whether all replicas were live and in the isr when peers or state changed last.
        self._is_complete = False
        self._counted: list[tuple[FollowerState, int]] = []  # with the incarnation that counts
        self._by_id: dict[int, FollowerState] = {}
        self.take_state()

    def states(self) -> list[FollowerState]:
        """Every follower, whoever counts."""
        return list(self._by_id.values())

    def take_state(self) -> None:
        """Work out who counts: the group's state or the change asked for is another."""
        self._is_complete = False
        state, pending = self._group.state, self._pending
        if pending is not None and state.partition_epoch > pending.expected_partition_epoch:
            self._pending = pending = None
            self._retry_ms = None
        for replica in state.replicas:
            if replica not in self._by_id and replica != self._broker_id:
                self._by_id[replica] = FollowerState(replica)
        for gone in self._by_id.keys() - set(state.replicas):
            del self._by_id[gone]
        members = maximal_isr(state.isr, pending.isr if pending is not None else ())
        self.members = frozenset(members)
        self.counted_ids = frozenset(broker_id for broker_id, _ in members)
        self._counted = [
            (self._by_id[broker_id], incarnation)
            for broker_id, incarnation in members
            if broker_id != self._broker_id and broker_id in self._by_id
        ]
        for follower, _ in self._counted:
            if follower.caught_up_ms == NEVER_MS:  # in sync by what was decided before our time
                follower.caught_up_ms = self._clock.monotonic_ms()

    def smallest_end(self, leader_end: int) -> int:
        """The offset that the leader and every follower that counts have reached.

        UNKNOWN_OFFSET where one of them has not fetched yet in the incarnation that counts.
        """
        smallest = leader_end
        for follower, incarnation in self._counted:
            if follower.incarnation != incarnation:
                return UNKNOWN_OFFSET
            if follower.log_end_offset < smallest:
                smallest = follower.log_end_offset
        return smallest

    def smallest_start(self, leader_start: int) -> int:
        """Where the log begins that begins first, of the leader and the followers that are up.

        UNKNOWN_OFFSET where one of them has not fetched from this leader yet.
        """
        starts = [
            each.log_start_offset
            for each in self._by_id.values()
            if self._incarnation_of(each.broker_id) is not None
        ]
        return min((leader_start, *starts))

    def follower(self, broker_id: int, incarnation: int) -> FollowerState:
        """Who fetches; raises where it holds no copy, or is not live in this incarnation."""
        found = self._by_id.get(broker_id)
        if found is None:
            raise NotLeaderOrFollowerError(f"broker {broker_id} holds no copy")
        if self._incarnation_of(broker_id) != incarnation:
            raise StaleBrokerEpochError(f"broker {broker_id} is not live in this incarnation")
        return found

    def consider_growth(self, follower: FollowerState, high_watermark: int) -> None:
        """Ask for `follower` in the isr if it is not there and may be."""
        if self._pending is None and self._may_join(follower, high_watermark):
            member = (follower.broker_id, follower.incarnation)
            self._alter_isr(grown_isr(self._group.state.isr, member))

    def still_have_all(self, leader_end: int, now_ms: int) -> bool:
        """Whether a `review` would find nothing new, if no broker came or went since the last.

        So it is with most of a thousand idle partitions: this looks at no more than it must.
        """
        if not self._is_complete:
            return False
        for follower, _ in self._counted:
            if follower.log_end_offset < leader_end:
                return False
            follower.caught_up_ms = now_ms  # see `FollowerState.lags`
        return True

    def review(self, *, leader_end: int, high_watermark: int, now_ms: int, max_lag_ms: int) -> None:
        """Ask for the isr that should be: without who is gone, restarted or lags, else with who is
        in sync by now, though it need not say so again; ask again where that failed.  Ask also for
        an elr to be empty that is needed no more."""
        if self._pending is not None:
            if self._retry_ms is not None and now_ms >= self._retry_ms:
                self._ask_for(self._pending)
            return
        self._is_complete = self._are_all_in_sync(leader_end, now_ms, max_lag_ms)
        if self._is_complete:
            return

        def lags(follower: FollowerState) -> bool:
            return follower.lags(leader_end=leader_end, now_ms=now_ms, max_lag_ms=max_lag_ms)

        def stays(member: IsrMember) -> bool:
            broker_id, incarnation = member
            if broker_id == self._broker_id:
                return True
            is_live = self._incarnation_of(broker_id) == incarnation
            return is_live and not lags(self._by_id[broker_id])

        isr = wanted = self._group.state.isr
        shrunk = shrunk_isr(isr, stays)
        if shrunk is not None:
            wanted = shrunk
        elif len(isr) <= len(self._by_id):
            for follower in self._by_id.values():
                if self._may_join(follower, high_watermark) and not lags(follower):
                    wanted = grown_isr(wanted, (follower.broker_id, follower.incarnation))
        if wanted != isr or self._has_idle_elr():
            self._alter_isr(wanted)

    def _has_idle_elr(self) -> bool:
        """Whether an elr stands, and holds back the high watermark, where enough are in sync: what
        min.insync.replicas asks for was lowered."""
        state = self._group.state
        return bool(state.elr) and not is_under_min_isr(
            isr_size=len(state.isr),
            min_insync_replicas=self._min_in_sync(),
            replica_count=len(state.replicas),
        )

    def _are_all_in_sync(self, leader_end: int, now_ms: int, max_lag_ms: int) -> bool:
        """Whether the isr has every replica and keeps it."""
        if len(self._counted) < len(self._by_id):
            return False
        for follower, incarnation in self._counted:
            if follower.lags(leader_end=leader_end, now_ms=now_ms, max_lag_ms=max_lag_ms):
                return False
            if self._incarnation_of(follower.broker_id) != incarnation:
                return False
        return True

    def _may_join(self, follower: FollowerState, high_watermark: int) -> bool:
        member = (follower.broker_id, follower.incarnation)
        return (
            member not in self._group.state.isr
            and self._incarnation_of(follower.broker_id) == follower.incarnation
            and may_join_isr(
                follower_end=follower.log_end_offset,
                high_watermark=high_watermark,
                epoch_start_offset=self.epoch_start_offset,
            )
        )

    def _alter_isr(self, isr: tuple[IsrMember, ...]) -> None:
        state = self._group.state
        command = AlterIsr(
            state.partition_epoch, self._leader_epoch, isr, self._min_in_sync(), self._unfit()
        )
        self._pending = command
        self.take_state()
        self._on_counted()
        self._ask_for(command)

    def _unfit(self) -> tuple[int, ...]:
        """Who restarted since it was in sync, so that it may have lost records; see AlterIsr."""
        state = self._group.state
        return tuple(
            broker_id
            for broker_id, incarnation in state.holders
            if self._incarnation_of(broker_id) not in (None, incarnation)
        )

    def _ask_for(self, command: AlterIsr) -> None:
        self._retry_ms = None
        self._group.propose(command, partial(self._on_decided, command))

    def _on_decided(self, command: AlterIsr, result: Any) -> None:
        if self._pending is not command:
            return
        if isinstance(result, BaseException) or result == Outcome.STALE_PARTITION_EPOCH:
            self._retry_ms = self._clock.monotonic_ms() + ISR_RETRY_MS
            return
        if result != Outcome.APPLIED:
            self._pending = None
        self.take_state()
        self._on_counted()

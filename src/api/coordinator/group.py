"""`Group` and `GroupMember`: what the coordinator knows of one classic group.

Pure bookkeeping: no timers are started, no answers decided and nothing is stored here.
Loop thread only.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from .errors import (
    FencedInstanceIdError,
    GroupError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from .group_state import GroupEvent, GroupState, GroupStateMachine
from .offset_store import GroupOffsets
from .subscription import subscribed_topics

CONSUMER_PROTOCOL_TYPE = "consumer"


class Timer(Protocol):
    """A callback that is due later."""

    def cancel(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinResult:
    """One member's answer to JoinGroup; only the leader is told the members."""

    member_id: str
    generation_id: int
    protocol_type: str | None
    protocol_name: str | None
    leader_id: str
    members: tuple[tuple[str, str | None, bytes], ...] = ()  # id, instance id, metadata
    skip_assignment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """One member's answer to SyncGroup."""

    protocol_type: str | None
    protocol_name: str | None
    assignment: bytes


OnJoined = Callable[[JoinResult | GroupError], None]
OnSynced = Callable[[SyncResult | GroupError], None]


@dataclass(slots=True, kw_only=True, eq=False)
class GroupMember:
    """One member; `protocols` are (name, metadata) in its order of preference."""

    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]
    assignment: bytes = b""
    is_new: bool = False  # joined, and never answered: it cannot send heartbeats yet
    on_joined: OnJoined | None = None
    on_synced: OnSynced | None = None
    session_deadline_ms: int = 0
    session_timer: Timer | None = field(default=None, repr=False)

    def metadata_for(self, protocol_name: str | None) -> bytes:
        """The member's own bytes for the chosen protocol; empty when it does not list it."""
        return next((data for name, data in self.protocols if name == protocol_name), b"")

    @property
    def is_awaited(self) -> bool:
        """Whether a join or sync of it is unanswered, which proves that the member lives."""
        return self.on_joined is not None or self.on_synced is not None


class Group:
    """The members, generation and committed offsets of one classic group."""

    def __init__(
        self, group_id: str, partition_index: int, *, entered_at_ms: int | None = None
    ) -> None:
        self.group_id = group_id
        self.partition_index = partition_index  # of __consumer_offsets
        self.states = GroupStateMachine(entered_at_ms)
        self.generation_id = 0
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        self.leader_id: str | None = None
        self.members: dict[str, GroupMember] = {}
        self.static_members: dict[str, str] = {}  # group.instance.id -> member id
        self.pending_members: dict[str, Timer] = {}  # KIP-394: told their id, not yet joined
        self.pending_sync: set[str] = set()
        self.subscribed: frozenset[str] | None = None
        self.offsets = GroupOffsets()
        self.new_member_added = False
        self.awaiting_join = 0
        self.join_timer: Timer | None = None
        self.sync_timer: Timer | None = None
        self._protocol_support: Counter[str] = Counter()

    # -- states ---------------------------------------------------------------------------

    @property
    def state(self) -> GroupState:
        return self.states.current

    @property
    def is_in_initial_rebalance(self) -> bool:
        """Whether the first members still gather (group.initial.rebalance.delay.ms)."""
        return (
            self.state is GroupState.PREPARING_REBALANCE
            and self.states.previous is GroupState.EMPTY
        )

    def start_next_generation(self, now_ms: int) -> None:
        """End the join phase: a new generation, its protocol, and no sync yet."""
        self.generation_id += 1
        self.pending_sync.clear()
        if self.members:
            self.protocol_name = self.select_protocol()
            self.states.on_event(GroupEvent.MEMBERS_JOINED, now_ms=now_ms)
        else:
            self.protocol_name = None
            self.leader_id = None
            self.states.on_event(GroupEvent.MEMBERS_GONE, now_ms=now_ms)
        self.refresh_subscription()

    # -- members --------------------------------------------------------------------------

    def add_member(self, member: GroupMember, protocol_type: str | None) -> None:
        """Take `member` in; the first one brings the protocol type and leads."""
        if not self.members:
            self.protocol_type = protocol_type
        assert member.member_id not in self.members, member.member_id
        self.members[member.member_id] = member
        if member.group_instance_id is not None:
            self.static_members[member.group_instance_id] = member.member_id
        if self.leader_id is None:
            self.leader_id = member.member_id
        self._count_protocols(member.protocols, 1)
        self.awaiting_join += member.on_joined is not None

    def remove_member(self, member: GroupMember) -> None:
        """Forget `member`, whom nothing is owed any more, and its timer; the leadership passes."""
        assert not member.is_awaited, member
        del self.members[member.member_id]
        self.pending_sync.discard(member.member_id)
        if member.group_instance_id is not None:
            self.static_members.pop(member.group_instance_id, None)
        self._count_protocols(member.protocols, -1)
        if member.session_timer is not None:
            member.session_timer.cancel()
            member.session_timer = None
        if self.leader_id == member.member_id:
            self.leader_id = next(iter(self.members), None)

    def rename_static_member(self, member: GroupMember, new_member_id: str) -> None:
        """Give a static member the id of its new incarnation; its place and role stay."""
        assert member.group_instance_id is not None, member.member_id
        del self.members[member.member_id]
        if self.leader_id == member.member_id:
            self.leader_id = new_member_id
        if member.member_id in self.pending_sync:
            self.pending_sync.discard(member.member_id)
            self.pending_sync.add(new_member_id)
        member.member_id = new_member_id
        self.members[new_member_id] = member
        self.static_members[member.group_instance_id] = new_member_id

    def update_member(
        self,
        member: GroupMember,
        *,
        protocols: tuple[tuple[str, bytes], ...],
        rebalance_timeout_ms: int,
        session_timeout_ms: int,
        on_joined: OnJoined | None,
    ) -> None:
        """Replace what a rejoining member told before."""
        self._count_protocols(member.protocols, -1)
        self._count_protocols(protocols, 1)
        member.protocols = protocols
        member.rebalance_timeout_ms = rebalance_timeout_ms
        member.session_timeout_ms = session_timeout_ms
        self.await_join(member, on_joined)

    def await_join(self, member: GroupMember, on_joined: OnJoined | None) -> None:
        """Keep the callback of an unanswered join; an earlier one of this member is superseded."""
        superseded, member.on_joined = member.on_joined, on_joined
        self.awaiting_join += (on_joined is not None) - (superseded is not None)
        if superseded is not None and on_joined is not None:
            superseded(RebalanceInProgressError(f"member {member.member_id} joined again"))

    def answer_join(self, member: GroupMember, result: JoinResult | GroupError) -> None:
        """Answer the waiting join of `member`, if there is one."""
        on_joined = member.on_joined
        if on_joined is not None:
            member.on_joined = None
            self.awaiting_join -= 1
            on_joined(result)

    def validate_member(self, member_id: str, group_instance_id: str | None) -> GroupMember:
        """The member, or UnknownMemberIdError / FencedInstanceIdError (KIP-345)."""
        if group_instance_id is not None:
            owner = self.static_members.get(group_instance_id)
            if owner is None:
                raise UnknownMemberIdError(f"no static member {group_instance_id}")
            if owner != member_id:
                raise FencedInstanceIdError(f"{group_instance_id} is now member {owner}")
        member = self.members.get(member_id)
        if member is None:
            raise UnknownMemberIdError(f"group {self.group_id} has no member {member_id!r}")
        return member

    @property
    def has_all_members_joined(self) -> bool:
        return self.awaiting_join == len(self.members) and not self.pending_members

    @property
    def rebalance_timeout_ms(self) -> int:
        """The longest any member wants to be waited for."""
        return max((m.rebalance_timeout_ms for m in self.members.values()), default=0)

    def elect_joined_leader(self) -> bool:
        """Make sure the leader is one that rejoined; False when nobody did."""
        leader = self.members.get(self.leader_id) if self.leader_id is not None else None
        if leader is not None and leader.on_joined is not None:
            return True
        for member in self.members.values():
            if member.on_joined is not None:
                self.leader_id = member.member_id
                return True
        return False

    # -- protocols ------------------------------------------------------------------------

    def supports_protocols(self, protocol_type: str, names: Iterable[str]) -> bool:
        """Whether a member with these protocols may be in the group."""
        if self.state is GroupState.EMPTY or not self.members:
            return bool(protocol_type) and any(True for _ in names)
        return protocol_type == self.protocol_type and any(
            self._protocol_support[name] == len(self.members) for name in names
        )

    def select_protocol(self) -> str | None:
        """The vote: each member's first choice among those which all support.

        A draw goes to the one which the longest-standing member prefers.
        """
        votes: Counter[str] = Counter()
        for member in self.members.values():
            for name, _ in member.protocols:
                if self._protocol_support[name] == len(self.members):
                    votes[name] += 1
                    break
        return votes.most_common(1)[0][0] if votes else None

    def refresh_subscription(self) -> None:
        """Recompute which topics the group consumes; None where that cannot be told."""
        self.subscribed = None
        if not self.is_consumer_group:
            return
        topics: set[str] = set()
        for member in self.members.values():
            found = subscribed_topics(member.metadata_for(self.protocol_name))
            if found is None:
                return
            topics |= found
        self.subscribed = frozenset(topics)

    @property
    def is_consumer_group(self) -> bool:
        """Whether the members' metadata are consumer subscriptions."""
        return self.protocol_type == CONSUMER_PROTOCOL_TYPE

    def is_subscribed_to(self, topic: str) -> bool:
        """Whether a member consumes `topic`; unreadable subscriptions count as yes."""
        if self.subscribed is not None:
            return topic in self.subscribed
        return self.is_consumer_group

    def _count_protocols(self, protocols: tuple[tuple[str, bytes], ...], step: int) -> None:
        for name in {name for name, _ in protocols}:
            self._protocol_support[name] += step

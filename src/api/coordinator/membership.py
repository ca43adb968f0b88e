"""`Membership`: JoinGroup, SyncGroup, Heartbeat and LeaveGroup of classic groups.

Each call answers through its callback or its return value, and refuses by raising a
GroupError.  What a join or a leave sets in motion is `rebalance.py`'s.  Sources: the Kafka
protocol's group management; KIP-134 (initial delay), KIP-345 (static members), KIP-394
(MEMBER_ID_REQUIRED), KIP-389 (group.max.size), KIP-814 (skip assignment).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ...core.clock import Clock
from ...core.kafka_uuid import random_uuid, uuid_to_hex
from .errors import (
    CoordinatorNotAvailableError,
    FencedInstanceIdError,
    GroupError,
    GroupMaxSizeReachedError,
    IllegalGenerationError,
    InconsistentGroupProtocolError,
    InvalidSessionTimeoutError,
    MemberIdRequiredError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from .group import Group, GroupMember, OnJoined, OnSynced
from .group_settings import GroupSettings
from .group_state import GroupState
from .rebalance import Rebalances, Schedule, StoreGroup, join_result, members_for_leader
from .rebalance import sync_result as sync_result_of


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """JoinGroup as its versions mean it, without their differences."""

    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    protocol_type: str
    protocols: tuple[tuple[str, bytes], ...]
    session_timeout_ms: int
    rebalance_timeout_ms: int
    requires_known_member_id: bool  # v4+ (KIP-394)
    supports_skipping_assignment: bool  # v9+ (KIP-814)

    @property
    def protocol_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.protocols)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """SyncGroup; `protocol_type` and `protocol_name` are None before v5."""

    member_id: str
    group_instance_id: str | None
    generation_id: int
    protocol_type: str | None
    protocol_name: str | None
    assignment: Mapping[str, bytes]


class Membership:
    """Who is in which group; the groups themselves belong to the caller."""

    def __init__(
        self, *, clock: Clock, schedule: Schedule, settings: GroupSettings, store_group: StoreGroup
    ) -> None:
        self._clock = clock
        self._schedule = schedule
        self._settings = settings
        self._store_group = store_group
        self.rebalances = Rebalances(
            clock=clock, schedule=schedule, settings=settings, store_group=store_group
        )

    # -- join -----------------------------------------------------------------------------

    def check_session_timeout(self, session_timeout_ms: int) -> None:
        """Refuse a session timeout that this broker does not allow."""
        lowest_ms = self._settings.group_min_session_timeout_ms
        highest_ms = self._settings.group_max_session_timeout_ms
        if not lowest_ms <= session_timeout_ms <= highest_ms:
            raise InvalidSessionTimeoutError(session_timeout_ms, lowest_ms, highest_ms)

    def join_group(self, group: Group, request: JoinRequest, on_joined: OnJoined) -> None:
        """Let a member in, now or when the rebalance which it starts is over."""
        self._check_room(group, request.member_id)
        _check_alive(group)
        if not group.supports_protocols(request.protocol_type, request.protocol_names):
            raise InconsistentGroupProtocolError(
                f"group {group.group_id} is of protocol type {group.protocol_type!r}, and shares "
                f"none of {list(request.protocol_names)}"
            )
        if not request.member_id:
            self._join_unknown(group, request, on_joined)
        elif request.member_id in group.pending_members:
            group.pending_members.pop(request.member_id).cancel()
            self._add_member(group, request, request.member_id, on_joined)
        else:
            member = group.validate_member(request.member_id, request.group_instance_id)
            self._rejoin(group, member, request, on_joined)

    def _check_room(self, group: Group, member_id: str) -> None:
        member = group.members.get(member_id)
        limit = self._settings.group_max_size
        if group.state is GroupState.PREPARING_REBALANCE:
            has_room = (member is not None and member.on_joined is not None) or (
                group.awaiting_join < limit
            )
        elif group.state in (GroupState.STABLE, GroupState.COMPLETING_REBALANCE):
            has_room = member is not None or len(group.members) < limit
        else:
            has_room = limit > 0
        if has_room:
            return
        if member is not None:
            self.rebalances.expel_member(group, member)
        elif member_id in group.pending_members:
            group.pending_members.pop(member_id).cancel()
        raise GroupMaxSizeReachedError(
            f"group {group.group_id} has {limit} members already (group.max.size)"
        )

    def _join_unknown(self, group: Group, request: JoinRequest, on_joined: OnJoined) -> None:
        member_id = self._make_member_id(request)
        if request.group_instance_id is not None:
            existing_id = group.static_members.get(request.group_instance_id)
            if existing_id is None:
                self._add_member(group, request, member_id, on_joined)
            else:
                member = group.members[existing_id]
                self._replace_static(group, member, member_id, request, on_joined)
        elif request.requires_known_member_id:
            group.pending_members[member_id] = self._schedule(
                request.session_timeout_ms, lambda: self._on_pending_timeout(group, member_id)
            )
            raise MemberIdRequiredError(member_id)
        else:
            self._add_member(group, request, member_id, on_joined)

    def _rejoin(
        self, group: Group, member: GroupMember, request: JoinRequest, on_joined: OnJoined
    ) -> None:
        is_leader = group.leader_id == member.member_id
        is_unchanged = member.protocols == request.protocols
        if group.state is GroupState.COMPLETING_REBALANCE and is_unchanged:
            # It lost the answer to its join: nothing changed, so tell it again.
            on_joined(join_result(group, member, members_for_leader(group) if is_leader else ()))
        elif group.state is GroupState.STABLE and is_unchanged and not is_leader:
            on_joined(join_result(group, member))
        else:
            _update(group, member, request, on_joined)
            self.rebalances.prepare_or_complete(group)

    def _add_member(
        self, group: Group, request: JoinRequest, member_id: str, on_joined: OnJoined
    ) -> None:
        member = GroupMember(
            member_id=member_id,
            group_instance_id=request.group_instance_id,
            client_id=request.client_id,
            client_host=request.client_host,
            rebalance_timeout_ms=request.rebalance_timeout_ms,
            session_timeout_ms=request.session_timeout_ms,
            protocols=request.protocols,
            is_new=True,
            on_joined=on_joined,
        )
        if group.is_in_initial_rebalance:
            group.new_member_added = True
        group.add_member(member, request.protocol_type)
        # It cannot send heartbeats before its first answer; a client that is gone must not
        # keep the group waiting for ever, though.
        self.rebalances.restart_session(group, member, self._settings.new_member_join_timeout_ms)
        self.rebalances.prepare_or_complete(group)

    def _replace_static(
        self,
        group: Group,
        member: GroupMember,
        new_member_id: str,
        request: JoinRequest,
        on_joined: OnJoined,
    ) -> None:
        """KIP-345: a restarted static member takes its old place, without a rebalance if it can."""
        old_leader_id = group.leader_id
        fenced = FencedInstanceIdError(f"{request.group_instance_id} is now {new_member_id}")
        group.answer_join(member, fenced)
        on_synced, member.on_synced = member.on_synced, None
        if on_synced is not None:
            on_synced(fenced)
        before = (member.member_id, member.protocols)
        timeouts = (member.rebalance_timeout_ms, member.session_timeout_ms)
        group.rename_static_member(member, new_member_id)
        _update(group, member, request, on_joined)
        self.rebalances.restart_session(group, member)
        if group.state is not GroupState.STABLE:
            self._rebalance_replaced(group)
        elif group.select_protocol() != group.protocol_name:
            self.rebalances.prepare_rebalance(group)
        else:

            def on_stored(error: GroupError | None) -> None:
                if group.members.get(member.member_id) is not member:
                    return
                if error is None:
                    _answer_replaced(group, member, request, old_leader_id)
                else:
                    self._restore_static(group, member, before, timeouts)
                    on_joined(error)

            assignment = {m.member_id: m.assignment for m in group.members.values()}
            self._store_group(group, assignment, on_stored)

    def _rebalance_replaced(self, group: Group) -> None:
        if group.state is GroupState.COMPLETING_REBALANCE:
            # The leader may be assigning to the old id at this moment.
            self.rebalances.prepare_rebalance(group)
        else:
            self.rebalances.maybe_complete_join(group)

    def _restore_static(
        self,
        group: Group,
        member: GroupMember,
        before: tuple[str, tuple[tuple[str, bytes], ...]],
        timeouts: tuple[int, int],
    ) -> None:
        old_member_id, protocols = before
        rebalance_timeout_ms, session_timeout_ms = timeouts
        group.update_member(
            member,
            protocols=protocols,
            rebalance_timeout_ms=rebalance_timeout_ms,
            session_timeout_ms=session_timeout_ms,
            on_joined=None,
        )
        group.rename_static_member(member, old_member_id)
        self.rebalances.restart_session(group, member)

    def _make_member_id(self, request: JoinRequest) -> str:
        unique = uuid_to_hex(random_uuid(self._clock))
        return f"{request.group_instance_id or request.client_id}-{unique}"

    def _on_pending_timeout(self, group: Group, member_id: str) -> None:
        if group.pending_members.pop(member_id, None) is not None:
            self.rebalances.maybe_complete_join(group)

    # -- sync, heartbeat, leave -----------------------------------------------------------

    def sync_group(self, group: Group, request: SyncRequest, on_synced: OnSynced) -> None:
        """Hand out the assignment, once the leader brought it and it is stored."""
        _check_alive(group)
        member = group.validate_member(request.member_id, request.group_instance_id)
        _check_generation(group, request.generation_id)
        for mine, theirs in (
            (group.protocol_type, request.protocol_type),
            (group.protocol_name, request.protocol_name),
        ):
            if theirs is not None and theirs != mine:
                raise InconsistentGroupProtocolError(f"the group uses {mine!r}, not {theirs!r}")
        if group.state is GroupState.PREPARING_REBALANCE:
            raise RebalanceInProgressError("the members are asked to join again")
        self.rebalances.note_synced(group, member)
        if group.state is GroupState.STABLE:
            self.rebalances.restart_session(group, member)
            on_synced(sync_result_of(group, member))
            return
        superseded, member.on_synced = member.on_synced, on_synced
        if superseded is not None:
            superseded(RebalanceInProgressError(f"member {member.member_id} synced again"))
        elif group.leader_id == member.member_id:
            self.rebalances.accept_assignment(group, request.assignment)

    def heartbeat(
        self, group: Group, *, member_id: str, group_instance_id: str | None, generation_id: int
    ) -> None:
        """The member lives; RebalanceInProgressError asks it to join again."""
        _check_alive(group)
        member = group.validate_member(member_id, group_instance_id)
        _check_generation(group, generation_id)
        self.rebalances.restart_session(group, member)
        if group.state is GroupState.PREPARING_REBALANCE:
            raise RebalanceInProgressError("the members are asked to join again")

    def leave_group(
        self, group: Group, leaving: list[tuple[str, str | None]]
    ) -> list[GroupError | None]:
        """Remove (member id, instance id) each; one rebalance for all of them."""
        _check_alive(group)
        results: list[GroupError | None] = []
        for member_id, group_instance_id in leaving:
            try:
                self._remove_leaving(group, member_id, group_instance_id)
                results.append(None)
            except GroupError as error:
                results.append(error)
        if None in results:
            self.rebalances.after_leave(group)
        return results

    def _remove_leaving(self, group: Group, member_id: str, group_instance_id: str | None) -> None:
        if not member_id and group_instance_id is not None:
            # An administrator removes a static member by its instance id alone.
            member_id = group.static_members.get(group_instance_id, "")
        if member_id in group.pending_members:
            group.pending_members.pop(member_id).cancel()
            return
        member = group.validate_member(member_id, group_instance_id)
        self.rebalances.expel_member(group, member)

    # -- coming and going of the whole group ----------------------------------------------

    def resume_sessions(self, group: Group) -> None:
        """Give the members of a group that was read back one session to report."""
        for member in list(group.members.values()):
            self.rebalances.restart_session(group, member)
        if len(group.members) > self._settings.group_max_size:  # lowered while it was away
            self.rebalances.prepare_rebalance(group)

    def dismiss_members(self, group: Group, reason: GroupError) -> None:
        """Answer whoever waits in a group that is Dead, and stop its timers."""
        self.rebalances.stop_timers(group)
        for timer in group.pending_members.values():
            timer.cancel()
        group.pending_members.clear()
        for member in list(group.members.values()):
            self.rebalances.expel_member(group, member, reason)

    # -- commits --------------------------------------------------------------------------

    def validate_commit(
        self, group: Group, *, member_id: str, group_instance_id: str | None, generation_id: int
    ) -> None:
        """Fence a commit: only members of this generation, or anyone while the group is empty."""
        _check_alive(group)
        if generation_id < 0 and group.state is GroupState.EMPTY:
            return
        if generation_id < 0 and not member_id and group_instance_id is None:
            raise UnknownMemberIdError(
                f"group {group.group_id} has members: stop them before setting its offsets"
            )
        member = group.validate_member(member_id, group_instance_id)
        _check_generation(group, generation_id)
        if group.state is GroupState.COMPLETING_REBALANCE:
            raise RebalanceInProgressError("the assignment of this generation is not there yet")
        self.rebalances.restart_session(group, member)


def _update(group: Group, member: GroupMember, request: JoinRequest, on_joined: OnJoined) -> None:
    group.update_member(
        member,
        protocols=request.protocols,
        rebalance_timeout_ms=request.rebalance_timeout_ms,
        session_timeout_ms=request.session_timeout_ms,
        on_joined=on_joined,
    )


def _answer_replaced(
    group: Group, member: GroupMember, request: JoinRequest, old_leader_id: str | None
) -> None:
    """Answer a replaced static member in Stable.

    From v9 a leader is told to skip the assignment; before, the old leader's id makes the
    client take itself for a follower, to the same effect.
    """
    if not request.supports_skipping_assignment:
        group.answer_join(member, join_result(group, member, leader_id=old_leader_id))
        return
    is_leader = group.leader_id == member.member_id
    members = members_for_leader(group) if is_leader else ()
    group.answer_join(member, join_result(group, member, members, skip_assignment=is_leader))


def _check_alive(group: Group) -> None:
    if group.state is GroupState.DEAD:
        raise CoordinatorNotAvailableError(f"group {group.group_id} is being removed")


def _check_generation(group: Group, generation_id: int) -> None:
    if generation_id != group.generation_id:
        raise IllegalGenerationError(
            f"group {group.group_id} is at generation {group.generation_id}, not {generation_id}"
        )

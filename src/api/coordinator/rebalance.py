"""`Rebalances`: the join and the sync phase of a group, and every timer that moves them.

    start -> members join (again) -> generation + 1, answers -> leader syncs -> assignment stored

Timers, never polling: the join phase ends when all members joined or the longest
rebalance timeout passed; the sync phase has the same bound; a member's session ends it.
Loop thread only; time comes from the clock, callbacks from `schedule`.
"""

import logging
from collections.abc import Callable, Mapping

from ...core.clock import Clock
from .errors import GroupError, RebalanceInProgressError, UnknownMemberIdError
from .group import Group, GroupMember, JoinResult, SyncResult, Timer
from .group_settings import GroupSettings
from .group_state import GroupEvent, GroupState

logger = logging.getLogger(__name__)

Schedule = Callable[[int, Callable[[], None]], Timer]
OnStored = Callable[[GroupError | None], None]
# Writes the group's metadata record with the given assignment (member id -> bytes).
StoreGroup = Callable[[Group, Mapping[str, bytes], OnStored], None]

_IN_GENERATION = (GroupState.STABLE, GroupState.COMPLETING_REBALANCE)


class Rebalances:
    """Carries groups from one generation to the next."""

    def __init__(
        self, *, clock: Clock, schedule: Schedule, settings: GroupSettings, store_group: StoreGroup
    ) -> None:
        self._clock = clock
        self._schedule = schedule
        self._settings = settings
        self._store_group = store_group

    # -- the join phase -------------------------------------------------------------------

    def prepare_or_complete(self, group: Group) -> None:
        """A member changed: start a rebalance, or end the join phase which it was waited for."""
        if group.states.can_follow(GroupEvent.REBALANCE_STARTED):
            self.prepare_rebalance(group)
        else:
            self.maybe_complete_join(group)

    def prepare_rebalance(self, group: Group) -> None:
        """Ask all members to join again; the first members of a group get time to gather."""
        if group.state is GroupState.COMPLETING_REBALANCE:
            self.fail_syncs(group, RebalanceInProgressError("the group rebalances again"))
        _cancel(group.sync_timer)
        group.sync_timer = None
        is_initial = group.state is GroupState.EMPTY
        self._on_event(group, GroupEvent.REBALANCE_STARTED)
        if is_initial:
            delay_ms = self._settings.group_initial_rebalance_delay_ms
            remaining_ms = max(group.rebalance_timeout_ms - delay_ms, 0)
            self._await_first_members(group, delay_ms, remaining_ms)
        elif group.has_all_members_joined:
            self.complete_join(group)
        else:
            self._start_join_timer(group)

    def maybe_complete_join(self, group: Group) -> None:
        """End the join phase once nobody is missing; a first rebalance keeps its delay."""
        if (
            group.state is GroupState.PREPARING_REBALANCE
            and not group.is_in_initial_rebalance
            and group.has_all_members_joined
        ):
            self.complete_join(group)

    def complete_join(self, group: Group) -> None:
        """Start the next generation with those who joined; absent static members stay in it."""
        _cancel(group.join_timer)
        group.join_timer = None
        if group.state is not GroupState.PREPARING_REBALANCE:
            return
        for member in list(group.members.values()):
            if member.on_joined is None and member.group_instance_id is None:
                group.remove_member(member)
        if group.members and not group.elect_joined_leader():
            self._start_join_timer(group)  # only silent static members: their sessions decide
            return
        group.start_next_generation(self._clock.now_ms())
        logger.debug(
            "group %s: generation %d with %d members, protocol %s",
            group.group_id,
            group.generation_id,
            len(group.members),
            group.protocol_name,
        )
        if not group.members:
            self._store_group(group, {}, lambda error: _report_lost_store(group, error))
        else:
            self._answer_joins(group)

    def _await_first_members(self, group: Group, delay_ms: int, remaining_ms: int) -> None:
        def on_delay_passed() -> None:
            if group.state is not GroupState.PREPARING_REBALANCE:
                return
            if group.new_member_added and remaining_ms > 0:
                base_ms = self._settings.group_initial_rebalance_delay_ms
                next_ms = min(base_ms, remaining_ms)
                self._await_first_members(group, next_ms, max(remaining_ms - next_ms, 0))
            else:
                self.complete_join(group)

        group.new_member_added = False
        group.join_timer = self._schedule(delay_ms, on_delay_passed)

    def _start_join_timer(self, group: Group) -> None:
        group.join_timer = self._schedule(
            group.rebalance_timeout_ms, lambda: self.complete_join(group)
        )

    def _answer_joins(self, group: Group) -> None:
        members = members_for_leader(group)
        assert group.leader_id is not None, group.group_id
        for member in list(group.members.values()):
            group.pending_sync.add(member.member_id)
            self.restart_session(group, member)
            member.is_new = False
            is_leader = member.member_id == group.leader_id
            group.answer_join(member, join_result(group, member, members if is_leader else ()))
        generation_id = group.generation_id
        group.sync_timer = self._schedule(
            group.rebalance_timeout_ms, lambda: self._on_sync_timeout(group, generation_id)
        )

    # -- the sync phase -------------------------------------------------------------------

    def accept_assignment(self, group: Group, assignment: Mapping[str, bytes]) -> None:
        """Store the leader's assignment (nothing for whom it left out), then hand it out."""
        complete = {member_id: assignment.get(member_id, b"") for member_id in group.members}
        generation_id = group.generation_id

        def on_stored(error: GroupError | None) -> None:
            if (
                group.state is not GroupState.COMPLETING_REBALANCE
                or group.generation_id != generation_id
            ):
                return
            if error is not None:
                self.fail_syncs(group, error)
                self.prepare_rebalance(group)
                return
            self._on_event(group, GroupEvent.ASSIGNED)
            for member in list(group.members.values()):
                member.assignment = complete.get(member.member_id, b"")
                self.answer_sync(group, member)

        self._store_group(group, complete, on_stored)

    def answer_sync(self, group: Group, member: GroupMember) -> None:
        """Hand `member` its assignment, if it waits for it; its session starts anew."""
        on_synced, member.on_synced = member.on_synced, None
        if on_synced is not None:
            self.note_synced(group, member)
            on_synced(sync_result(group, member))
            self.restart_session(group, member)

    def note_synced(self, group: Group, member: GroupMember) -> None:
        """`member` asked for its assignment; once all did, the sync phase has no deadline."""
        group.pending_sync.discard(member.member_id)
        if not group.pending_sync:
            _cancel(group.sync_timer)
            group.sync_timer = None

    def fail_syncs(self, group: Group, error: GroupError) -> None:
        """Take the assignment back, and tell everyone who waits for it."""
        for member in group.members.values():
            member.assignment = b""
            on_synced, member.on_synced = member.on_synced, None
            if on_synced is not None:
                on_synced(error)
                self.restart_session(group, member)

    def _on_sync_timeout(self, group: Group, generation_id: int) -> None:
        group.sync_timer = None
        if group.generation_id != generation_id or group.state not in _IN_GENERATION:
            return
        silent = [group.members[i] for i in group.pending_sync if i in group.members]
        if silent:
            for member in silent:
                group.remove_member(member)
            self.prepare_rebalance(group)

    # -- sessions -------------------------------------------------------------------------

    def restart_session(
        self, group: Group, member: GroupMember, timeout_ms: int | None = None
    ) -> None:
        """The member is alive now.  A running timer is kept: it looks at the deadline itself."""
        now_ms = self._clock.monotonic_ms()
        timeout_ms = member.session_timeout_ms if timeout_ms is None else timeout_ms
        deadline_ms = now_ms + timeout_ms
        is_earlier = deadline_ms < member.session_deadline_ms
        member.session_deadline_ms = deadline_ms
        if member.session_timer is not None and is_earlier:
            member.session_timer.cancel()
            member.session_timer = None
        if member.session_timer is None:
            member.session_timer = self._schedule(
                timeout_ms, lambda: self._on_session_timer(group, member)
            )

    def _on_session_timer(self, group: Group, member: GroupMember) -> None:
        member.session_timer = None
        if group.members.get(member.member_id) is not member:
            return
        remaining_ms = member.session_deadline_ms - self._clock.monotonic_ms()
        if remaining_ms > 0:
            member.session_timer = self._schedule(
                remaining_ms, lambda: self._on_session_timer(group, member)
            )
        elif member.is_new or not member.is_awaited:
            logger.info(
                "group %s: member %s left after %d ms without a heartbeat (session.timeout.ms)",
                group.group_id,
                member.member_id,
                member.session_timeout_ms,
            )
            self.expel_member(group, member)
            self.after_leave(group)

    def expel_member(
        self, group: Group, member: GroupMember, reason: GroupError | None = None
    ) -> None:
        """Remove `member`; whatever it waits for is answered, so that it can join anew."""
        gone = reason or UnknownMemberIdError(
            f"member {member.member_id} was removed from its group"
        )
        group.answer_join(member, gone)
        on_synced, member.on_synced = member.on_synced, None
        if on_synced is not None:
            on_synced(gone)
        group.remove_member(member)

    def after_leave(self, group: Group) -> None:
        """What a departure means for those who stay."""
        if group.state in _IN_GENERATION:
            self.prepare_rebalance(group)
        else:
            self.maybe_complete_join(group)

    def stop_timers(self, group: Group) -> None:
        """No phase of this group ends by time any more."""
        _cancel(group.join_timer)
        _cancel(group.sync_timer)
        group.join_timer = group.sync_timer = None

    def _on_event(self, group: Group, event: GroupEvent) -> None:
        group.states.on_event(event, now_ms=self._clock.now_ms())


def join_result(
    group: Group,
    member: GroupMember,
    members: tuple[tuple[str, str | None, bytes], ...] = (),
    *,
    leader_id: str | None = None,
    skip_assignment: bool = False,
) -> JoinResult:
    """The answer to a join of the current generation."""
    return JoinResult(
        member_id=member.member_id,
        generation_id=group.generation_id,
        protocol_type=group.protocol_type,
        protocol_name=group.protocol_name,
        leader_id=leader_id or group.leader_id or "",
        members=members,
        skip_assignment=skip_assignment,
    )


def sync_result(group: Group, member: GroupMember) -> SyncResult:
    """The answer to a sync of the current generation."""
    return SyncResult(
        protocol_type=group.protocol_type,
        protocol_name=group.protocol_name,
        assignment=member.assignment,
    )


def members_for_leader(group: Group) -> tuple[tuple[str, str | None, bytes], ...]:
    """What the leader needs to assign: each member's id, instance id and metadata."""
    return tuple(
        (member.member_id, member.group_instance_id, member.metadata_for(group.protocol_name))
        for member in group.members.values()
    )


def _cancel(timer: Timer | None) -> None:
    if timer is not None:
        timer.cancel()


def _report_lost_store(group: Group, error: GroupError | None) -> None:
    if error is not None:
        logger.warning("group %s: its empty state could not be stored: %s", group.group_id, error)

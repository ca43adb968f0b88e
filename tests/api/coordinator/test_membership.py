"""Joining, syncing, beating and leaving: what each member of a classic group is told."""

import pytest

from headrace.api.coordinator.errors import (
    CoordinatorNotAvailableError,
    FencedInstanceIdError,
    GroupMaxSizeReachedError,
    IllegalGenerationError,
    InconsistentGroupProtocolError,
    InvalidSessionTimeoutError,
    MemberIdRequiredError,
    NotCoordinatorError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from headrace.api.coordinator.group_settings import GroupSettings
from headrace.api.coordinator.group_state import GroupEvent, GroupState
from tests.support.group_stage import RANGE, GroupStage


def test_the_first_member_leads_and_is_told_the_members() -> None:
    stage = GroupStage()
    answer = stage.join()
    assert not answer.joined
    stage.scheduler.advance(0)
    assert answer.join.generation_id == 1
    assert answer.join.leader_id == answer.join.member_id
    assert answer.join.members == ((answer.join.member_id, None, b"range-metadata"),)
    assert answer.join.protocol_name == "range"
    assert stage.group.state is GroupState.COMPLETING_REBALANCE


def test_followers_are_told_the_leader_but_no_members() -> None:
    stage = GroupStage()
    leader, follower = stage.join(), stage.join()
    stage.scheduler.advance(0)
    assert follower.join.leader_id == leader.join.member_id
    assert follower.join.members == ()
    assert len(leader.join.members) == 2


def test_member_ids_begin_with_the_client_or_the_instance() -> None:
    stage = GroupStage()
    dynamic, static = stage.join(), stage.join(instance="node-7")
    stage.scheduler.advance(0)
    assert dynamic.join.member_id.startswith("client-")
    assert static.join.member_id.startswith("node-7-")


def test_followers_wait_for_the_leaders_assignment_and_its_storage() -> None:
    stage = GroupStage()
    leader, follower = stage.join(), stage.join()
    stage.scheduler.advance(0)
    stage.held = []
    waiting = stage.sync(follower.join.member_id, 1)
    plan = {follower.join.member_id: b"p1"}
    leading = stage.sync(leader.join.member_id, 1, plan)
    assert not waiting.synced
    assert not leading.synced
    assert stage.stored == [{leader.join.member_id: b"", follower.join.member_id: b"p1"}]
    stage.held[0](None)
    assert waiting.sync.assignment == b"p1"
    assert leading.sync.assignment == b""
    assert stage.group.state is GroupState.STABLE


def test_a_failed_store_of_the_assignment_rebalances() -> None:
    stage = GroupStage()
    leader = stage.join()
    stage.scheduler.advance(0)
    stage.store_error = NotCoordinatorError("moved")
    leading = stage.sync(leader.join.member_id, 1, {leader.join.member_id: b"p"})
    assert isinstance(leading.synced[0], NotCoordinatorError)
    assert stage.group.state is GroupState.PREPARING_REBALANCE


def test_a_sync_in_stable_hands_the_assignment_out_again() -> None:
    stage = GroupStage()
    member_ids = stage.stable(2)
    assert stage.sync(member_ids[1], 1).sync.assignment == member_ids[1].encode()


def test_generation_grows_with_each_rebalance() -> None:
    stage = GroupStage()
    first = stage.stable(1)[0]
    newcomer = stage.join()
    with pytest.raises(RebalanceInProgressError):
        stage.heartbeat(first)
    again = stage.join(first)
    assert again.join.generation_id == newcomer.join.generation_id == 2


def test_a_dynamic_member_is_sent_back_with_an_id_first() -> None:
    stage = GroupStage()
    with pytest.raises(MemberIdRequiredError) as refused:
        stage.join(requires_id=True)
    assert stage.group.state is GroupState.EMPTY
    answer = stage.join(refused.value.member_id, requires_id=True)
    stage.scheduler.advance(0)
    assert answer.join.member_id == refused.value.member_id


def test_a_pending_member_holds_the_join_phase_until_its_session_ends() -> None:
    stage = GroupStage()
    first = stage.stable(1)[0]
    with pytest.raises(MemberIdRequiredError):
        stage.join(requires_id=True, session_ms=6_000)
    newcomer = stage.join()
    again = stage.join(first)
    assert not again.joined
    stage.scheduler.advance(6_000)
    assert again.join.generation_id == newcomer.join.generation_id == 2
    assert not stage.group.pending_members


def test_a_static_member_needs_no_second_round_for_its_id() -> None:
    stage = GroupStage()
    answer = stage.join(instance="a", requires_id=True)
    stage.scheduler.advance(0)
    assert answer.join.generation_id == 1


def test_an_unknown_member_id_is_refused() -> None:
    stage = GroupStage()
    stage.stable(1)
    with pytest.raises(UnknownMemberIdError):
        stage.join("nobody")
    with pytest.raises(UnknownMemberIdError):
        stage.heartbeat("nobody")
    with pytest.raises(UnknownMemberIdError):
        stage.sync("nobody", 1)


def test_a_wrong_generation_is_refused() -> None:
    stage = GroupStage()
    member_id = stage.stable(1)[0]
    with pytest.raises(IllegalGenerationError):
        stage.heartbeat(member_id, 2)
    with pytest.raises(IllegalGenerationError):
        stage.sync(member_id, 0)


# -- protocols ----------------------------------------------------------------------------


def test_the_protocol_most_members_prefer_among_the_shared_wins() -> None:
    stage = GroupStage()
    both = (("range", b"r"), ("sticky", b"s"))
    answers = [
        stage.join(protocols=(("mine", b"m"), *both)),
        stage.join(protocols=both[::-1]),
        stage.join(protocols=both[::-1]),
    ]
    stage.scheduler.advance(0)
    assert {answer.join.protocol_name for answer in answers} == {"sticky"}
    assert [metadata for _, _, metadata in answers[0].join.members] == [b"s"] * 3


def test_a_member_without_a_shared_protocol_is_refused() -> None:
    stage = GroupStage()
    stage.stable(1)
    with pytest.raises(InconsistentGroupProtocolError):
        stage.join(protocols=(("roundrobin", b""),))
    with pytest.raises(InconsistentGroupProtocolError):
        stage.join(protocol_type="connect")


def test_no_protocols_or_no_type_is_refused_by_an_empty_group() -> None:
    stage = GroupStage()
    with pytest.raises(InconsistentGroupProtocolError):
        stage.join(protocols=())
    with pytest.raises(InconsistentGroupProtocolError):
        stage.join(protocol_type="")


def test_a_sync_for_another_protocol_is_refused() -> None:
    stage = GroupStage()
    member_id = stage.stable(1)[0]
    with pytest.raises(InconsistentGroupProtocolError):
        stage.sync(member_id, 1, protocol_type="connect", protocol_name="range")
    with pytest.raises(InconsistentGroupProtocolError):
        stage.sync(member_id, 1, protocol_type="consumer", protocol_name="sticky")
    assert stage.sync(member_id, 1, protocol_type="consumer", protocol_name="range").sync


def test_changed_metadata_of_a_follower_rebalances() -> None:
    stage = GroupStage()
    leader, follower = stage.stable(2)
    changed = stage.join(follower, protocols=(("range", b"other topics"),))
    assert stage.group.state is GroupState.PREPARING_REBALANCE
    leading = stage.join(leader)
    assert leading.join.members[1][2] == b"other topics"
    assert changed.join.generation_id == 2


def test_an_unchanged_follower_that_joins_again_disturbs_nobody() -> None:
    stage = GroupStage()
    follower = stage.stable(2)[1]
    assert stage.join(follower).join.generation_id == 1
    assert stage.group.state is GroupState.STABLE


def test_a_leader_that_joins_again_rebalances() -> None:
    stage = GroupStage()
    leader = stage.stable(2)[0]
    stage.join(leader)
    assert stage.group.state is GroupState.PREPARING_REBALANCE


def test_a_lost_join_answer_is_repeated_before_the_assignment() -> None:
    stage = GroupStage()
    leader, follower = stage.join(), stage.join()
    stage.scheduler.advance(0)
    assert stage.join(leader.join.member_id).join == leader.join
    assert stage.join(follower.join.member_id).join == follower.join
    assert stage.group.state is GroupState.COMPLETING_REBALANCE


def test_a_newcomer_before_the_assignment_sends_syncing_members_back() -> None:
    stage = GroupStage()
    leader, follower = stage.join(), stage.join()
    stage.scheduler.advance(0)
    waiting = stage.sync(follower.join.member_id, 1)
    stage.join()
    assert isinstance(waiting.synced[0], RebalanceInProgressError)
    with pytest.raises(RebalanceInProgressError):
        stage.sync(leader.join.member_id, 1)


# -- time ---------------------------------------------------------------------------------


def test_the_first_members_are_given_time_to_gather() -> None:
    stage = GroupStage(GroupSettings(group_initial_rebalance_delay_ms=3_000))
    first = stage.join()
    stage.scheduler.advance(2_000)
    second = stage.join()
    stage.scheduler.advance(1_500)
    assert not first.joined
    stage.scheduler.advance(2_500)
    assert first.join.generation_id == second.join.generation_id == 1


def test_the_initial_delay_ends_with_the_rebalance_timeout() -> None:
    stage = GroupStage(GroupSettings(group_initial_rebalance_delay_ms=3_000))
    first = stage.join(rebalance_ms=7_000)
    for _ in range(6):
        stage.scheduler.advance(1_000)
        stage.join(rebalance_ms=7_000)
    assert not first.joined
    stage.scheduler.advance(1_000)
    assert len(first.join.members) == 7


def test_a_silent_member_loses_its_session() -> None:
    stage = GroupStage()
    silent, lively = stage.stable(2)
    stage.scheduler.advance(6_000)
    stage.heartbeat(lively)
    stage.scheduler.advance(4_000)
    assert silent not in stage.group.members
    assert stage.group.leader_id == lively
    assert stage.group.state is GroupState.PREPARING_REBALANCE


def test_heartbeats_keep_a_session() -> None:
    stage = GroupStage()
    member_id = stage.stable(1)[0]
    for _ in range(10):
        stage.scheduler.advance(9_999)
        stage.heartbeat(member_id)
    stage.scheduler.advance(9_999)
    assert member_id in stage.group.members
    stage.scheduler.advance(1)
    assert stage.group.state is GroupState.EMPTY


def test_members_that_do_not_rejoin_are_left_behind_after_the_rebalance_timeout() -> None:
    stage = GroupStage()
    stays, sleeps = stage.stable(2)
    again = stage.join(stays)
    for _ in range(12):  # heartbeats alone do not count as joining
        with pytest.raises(RebalanceInProgressError):
            stage.heartbeat(sleeps)
        stage.scheduler.advance(5_000)
    assert again.join.generation_id == 2
    assert list(stage.group.members) == [stays]


def test_a_member_waiting_for_its_join_does_not_lose_its_session() -> None:
    stage = GroupStage()
    stays, sleeps = stage.stable(2)
    again = stage.join(stays)
    for _ in range(5):
        stage.scheduler.advance(9_000)
        with pytest.raises(RebalanceInProgressError):
            stage.heartbeat(sleeps)
    assert stays in stage.group.members
    assert not again.joined


def test_a_new_member_whose_client_vanished_is_dropped_after_five_minutes() -> None:
    stage = GroupStage()
    sleeps = stage.stable(1)[0]
    ghost = stage.join(rebalance_ms=10_000_000)
    for _ in range(60):
        with pytest.raises(RebalanceInProgressError):
            stage.heartbeat(sleeps)
        stage.scheduler.advance(5_000)
    assert isinstance(ghost.joined[0], UnknownMemberIdError)


def test_members_that_never_sync_are_removed_after_the_rebalance_timeout() -> None:
    stage = GroupStage()
    leader, lazy = stage.join(), stage.join()
    stage.scheduler.advance(0)
    stage.sync(leader.join.member_id, 1)
    for _ in range(12):
        stage.heartbeat_all()
        stage.scheduler.advance(5_000)
    assert lazy.join.member_id not in stage.group.members
    assert stage.group.state is GroupState.PREPARING_REBALANCE


def test_no_timer_is_left_when_the_group_is_empty() -> None:
    stage = GroupStage()
    member_ids = stage.stable(3)
    stage.membership.leave_group(stage.group, [(member_id, None) for member_id in member_ids])
    assert stage.group.state is GroupState.EMPTY
    assert stage.scheduler.pending == 0


def test_session_timeouts_have_bounds() -> None:
    stage = GroupStage()
    for session_ms in (5_999, 1_800_001):
        with pytest.raises(InvalidSessionTimeoutError, match=r"group.min.session.timeout.ms"):
            stage.membership.check_session_timeout(session_ms)
    stage.membership.check_session_timeout(6_000)
    stage.membership.check_session_timeout(1_800_000)


# -- leaving and size ---------------------------------------------------------------------


def test_a_batch_of_leavers_is_answered_one_by_one_with_one_rebalance() -> None:
    stage = GroupStage()
    member_ids = stage.stable(3, instances=("a",))
    results = stage.membership.leave_group(
        stage.group, [("", "a"), (member_ids[1], None), ("nobody", None), ("", "nowhere")]
    )
    assert results[:2] == [None, None]
    assert isinstance(results[2], UnknownMemberIdError)
    assert isinstance(results[3], UnknownMemberIdError)
    assert list(stage.group.members) == [member_ids[2]]
    assert stage.group.state is GroupState.PREPARING_REBALANCE


def test_leaving_with_a_foreign_instance_id_is_fenced() -> None:
    stage = GroupStage()
    stage.stable(1, instances=("a",))
    (result,) = stage.membership.leave_group(stage.group, [("someone", "a")])
    assert isinstance(result, FencedInstanceIdError)


def test_a_pending_member_may_leave() -> None:
    stage = GroupStage()
    with pytest.raises(MemberIdRequiredError) as refused:
        stage.join(requires_id=True)
    assert stage.membership.leave_group(stage.group, [(refused.value.member_id, None)]) == [None]
    assert not stage.group.pending_members


def test_the_last_to_leave_empties_the_group_and_stores_that() -> None:
    stage = GroupStage()
    member_id = stage.stable(1)[0]
    stage.membership.leave_group(stage.group, [(member_id, None)])
    assert stage.group.state is GroupState.EMPTY
    assert stage.group.generation_id == 2
    assert stage.group.protocol_name is None
    assert stage.stored[-1] == {}


def test_a_full_group_takes_no_more_members() -> None:
    stage = GroupStage(GroupSettings(group_initial_rebalance_delay_ms=0, group_max_size=2))
    member_ids = stage.stable(2)
    with pytest.raises(GroupMaxSizeReachedError, match=r"group.max.size"):
        stage.join()
    stage.join(member_ids[0])
    stage.join(member_ids[1])
    assert stage.group.generation_id == 2


def test_a_dead_group_sends_its_members_to_look_again() -> None:
    stage = GroupStage()
    member_id = stage.stable(1)[0]
    stage.group.states.on_event(GroupEvent.REMOVED, now_ms=0)
    with pytest.raises(CoordinatorNotAvailableError):
        stage.heartbeat(member_id)
    with pytest.raises(CoordinatorNotAvailableError):
        stage.join()


# -- static members -----------------------------------------------------------------------


def test_a_restarted_static_follower_takes_its_place_without_a_rebalance() -> None:
    stage = GroupStage()
    leader, old = stage.stable(2, instances=("a", "b"))
    back = stage.join(instance="b")
    assert back.join.member_id != old
    assert (back.join.generation_id, back.join.leader_id) == (1, leader)
    assert stage.group.state is GroupState.STABLE
    assert back.join.member_id in stage.stored[-1]
    assert stage.sync(back.join.member_id, 1, instance="b").sync.assignment == old.encode()
    for call in (stage.heartbeat, lambda i, **k: stage.sync(i, 1, **k)):
        with pytest.raises(FencedInstanceIdError):
            call(old, instance="b")


def test_a_restarted_static_leader_is_told_to_skip_the_assignment() -> None:
    stage = GroupStage()
    stage.stable(2, instances=("a", "b"))
    back = stage.join(instance="a").join
    assert back.skip_assignment
    assert back.leader_id == back.member_id
    assert len(back.members) == 2
    assert stage.group.state is GroupState.STABLE


def test_a_restarted_static_leader_before_v9_takes_itself_for_a_follower() -> None:
    stage = GroupStage()
    old = stage.stable(2, instances=("a", "b"))[0]
    back = stage.join(instance="a", version_9=False).join
    assert (back.leader_id, back.skip_assignment, back.members) == (old, False, ())
    assert stage.group.leader_id == back.member_id


def test_a_static_member_that_changes_the_vote_rebalances() -> None:
    stage = GroupStage()
    both = (("range", b"r"), ("sticky", b"s"))
    stage.join(instance="a", protocols=both)
    stage.scheduler.advance(0)
    stage.assign(list(stage.group.members))
    stage.join(instance="a", protocols=both[::-1])
    assert stage.group.state is GroupState.COMPLETING_REBALANCE
    assert stage.group.protocol_name == "sticky"


def test_the_waiting_requests_of_a_replaced_static_member_are_fenced() -> None:
    stage = GroupStage()
    stage.join(instance="a")
    follower = stage.join(instance="b")
    stage.scheduler.advance(0)
    waiting = stage.sync(follower.join.member_id, 1, instance="b")
    stage.join(instance="b")
    assert isinstance(waiting.synced[0], FencedInstanceIdError)
    assert stage.group.state is GroupState.PREPARING_REBALANCE


def test_a_static_replacement_that_cannot_be_stored_is_undone() -> None:
    stage = GroupStage()
    old = stage.stable(2, instances=("a", "b"))[1]
    stage.store_error = NotCoordinatorError("moved")
    back = stage.join(instance="b")
    assert isinstance(back.joined[0], NotCoordinatorError)
    assert stage.group.static_members["b"] == old
    stage.heartbeat(old, instance="b")


def test_an_absent_static_member_outlives_the_join_phase_but_not_the_sync_phase() -> None:
    stage = GroupStage()
    absent, present = stage.stable(2, instances=("a",))
    stage.group.members[absent].rebalance_timeout_ms = 8_000
    stage.join(present, rebalance_ms=8_000, protocols=(("range", b"changed"),))
    stage.scheduler.advance(8_000)
    assert stage.group.generation_id == 2
    assert absent in stage.group.members
    stage.assign([present])
    stage.scheduler.advance(7_999)
    assert absent in stage.group.members
    stage.heartbeat(present)
    stage.scheduler.advance(1)
    assert list(stage.group.members) == [present]


def test_an_unknown_static_member_is_no_fenced_one() -> None:
    stage = GroupStage()
    member_id = stage.stable(1)[0]
    with pytest.raises(UnknownMemberIdError):
        stage.heartbeat(member_id, instance="never seen")


# -- commits ------------------------------------------------------------------------------


def test_anyone_may_commit_while_the_group_is_empty_but_not_after() -> None:
    stage = GroupStage()
    stage.validate_commit()
    stage.stable(1)
    with pytest.raises(UnknownMemberIdError):
        stage.validate_commit()


def test_commits_of_members_are_fenced_by_generation_and_instance() -> None:
    stage = GroupStage()
    member_id = stage.stable(1, instances=("a",))[0]
    stage.validate_commit(member_id, 1, instance="a")
    with pytest.raises(IllegalGenerationError):
        stage.validate_commit(member_id, 0)
    with pytest.raises(UnknownMemberIdError):
        stage.validate_commit("nobody", 1)
    with pytest.raises(FencedInstanceIdError):
        stage.validate_commit("nobody", 1, instance="a")


def test_a_commit_is_taken_while_members_rejoin_but_not_before_the_assignment() -> None:
    stage = GroupStage()
    first, second = stage.stable(2)
    stage.join(first)
    with pytest.raises(RebalanceInProgressError):
        stage.heartbeat(second)
    stage.validate_commit(second, 1)
    stage.join(second, protocols=RANGE)
    assert stage.group.state is GroupState.COMPLETING_REBALANCE
    with pytest.raises(RebalanceInProgressError):
        stage.validate_commit(second, 2)


def test_a_commit_is_a_sign_of_life() -> None:
    stage = GroupStage()
    member_id = stage.stable(1)[0]
    for _ in range(3):
        stage.scheduler.advance(6_000)
        stage.validate_commit(member_id, 1)
    assert member_id in stage.group.members

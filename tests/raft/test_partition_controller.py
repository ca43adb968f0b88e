"""What a partition's controller decides: one command at a time, safest first."""

from dataclasses import replace
from typing import Any

import pytest

from headrace.raft.errors import (
    ElectionNotNeededError,
    EligibleLeadersNotAvailableError,
    PreferredLeaderNotAvailableError,
)
from headrace.raft.partition_controller import (
    ControllerView,
    LiveBroker,
    LogReport,
    decide_by_hand,
    election_by_hand,
    is_needed_by_hand,
    next_decision,
)
from headrace.raft.partition_state import (
    NO_LEADER,
    AlterIsr,
    Elect,
    ElectKind,
    PartitionState,
    Reassign,
)

STATE = PartitionState(
    replicas=(0, 1, 2),
    voters=(0, 1, 2),
    leader=0,
    leader_epoch=4,
    partition_epoch=7,
    isr=((0, 100), (1, 101), (2, 102)),
    leader_session=200,
    wal_ids=(300, 301, 302),
)


def live(*ids: int, restarted: tuple[int, ...] = ()) -> dict[int, LiveBroker]:
    """Brokers as STATE knows them; those `restarted` are another incarnation and session."""
    return {
        n: LiveBroker(n, 900 + n, 800 + n, 300 + n)
        if n in restarted
        else LiveBroker(n, 100 + n, 200 + n, 300 + n)
        for n in ids
    }


def test_a_led_partition_with_all_its_replicas_there_needs_nothing() -> None:
    assert next_decision(STATE, ControllerView(live(0, 1, 2))) is None


def test_a_lost_leader_is_replaced_by_the_next_replica_in_sync() -> None:
    shrunk = replace(STATE, isr=((0, 100), (2, 102)))
    decision = next_decision(shrunk, ControllerView(live(1, 2)))
    assert decision == Elect(7, 2, 102, ElectKind.CLEAN, 0, 202, lost=(0,))
    led, _ = shrunk.apply(decision)
    assert (led.leader, led.leader_epoch, led.isr) == (2, 5, ((2, 102),))


def test_a_leader_that_came_back_as_another_process_is_elected_anew() -> None:
    there = live(0, 1, 2)
    there[0] = replace(there[0], session=999)
    decision = next_decision(STATE, ControllerView(there))
    assert decision == Elect(7, 0, 100, ElectKind.CLEAN, 0, 999)


def test_a_lost_follower_is_left_to_the_leader_who_asks_it_out() -> None:
    assert next_decision(STATE, ControllerView(live(0, 1))) is None


def test_a_follower_of_another_incarnation_leaves_the_isr() -> None:
    decision = next_decision(STATE, ControllerView(live(0, 1, 2, restarted=(1,))))
    assert decision == AlterIsr(7, 4, ((0, 100), (2, 102)))


def test_a_stopping_leader_hands_over_and_a_stopping_follower_leaves_the_isr() -> None:
    view = ControllerView(live(0, 1, 2), stopping={0})
    assert next_decision(STATE, view) == Elect(7, 1, 101, ElectKind.CLEAN, 0, 201, lost=(0,))
    view = ControllerView(live(0, 1, 2), stopping={1})
    assert next_decision(STATE, view) == AlterIsr(7, 4, ((0, 100), (2, 102)))


def test_a_stopping_leader_without_a_successor_goes_on() -> None:
    alone = replace(STATE, isr=((0, 100),))
    assert next_decision(alone, ControllerView(live(0, 1, 2), stopping={0})) is None


def test_a_leader_whose_log_is_offline_is_replaced_and_leaves_the_isr() -> None:
    view = ControllerView(live(0, 1, 2), offline={0})
    assert next_decision(STATE, view) == Elect(7, 1, 101, ElectKind.CLEAN, 0, 201, lost=(0,))
    view = ControllerView(live(0, 1, 2), offline={0, 1})
    assert next_decision(STATE, view) == Elect(7, 2, 102, ElectKind.CLEAN, 0, 202, lost=(0, 1))


def test_a_follower_whose_log_is_offline_leaves_the_isr() -> None:
    view = ControllerView(live(0, 1, 2), offline={2})
    assert next_decision(STATE, view) == AlterIsr(7, 4, ((0, 100), (1, 101)))


@pytest.mark.parametrize("allows_unclean", [False, True])
def test_the_last_of_the_isr_going_offline_leaves_nobody_unless_records_may_be_lost(
    allows_unclean: bool,
) -> None:
    alone = replace(STATE, isr=((0, 100),))
    view = ControllerView(live(0, 1, 2), offline={0}, allows_unclean=allows_unclean)
    expected = Elect(7, 1, 101, ElectKind.UNCLEAN, 0, 201) if allows_unclean else None
    assert next_decision(alone, view) == expected
    # What it said of its log while that could be read makes it no leader either.
    reports = {0: report(90, kept=True, incarnation=100)}
    view = replace(view, reports=reports, allows_unclean=False)
    assert next_decision(alone, view) is None


def test_a_stopping_leader_hands_nothing_to_a_log_that_is_offline() -> None:
    view = ControllerView(live(0, 1), stopping={0}, offline={1})
    assert next_decision(STATE, view) == AlterIsr(7, 4, ((0, 100), (2, 102)))


def test_an_offline_log_is_elected_neither_as_preferred_leader_nor_by_hand() -> None:
    led_by_1 = replace(STATE, leader=1, leader_session=201)
    view = ControllerView(live(0, 1, 2), offline={0}, is_balance_due=True)
    shrunk, _ = led_by_1.apply(AlterIsr(7, 4, ((1, 101), (2, 102))))
    assert next_decision(shrunk, view) is None
    assert election_by_hand(led_by_1, view, is_unclean=False) is None
    lost = replace(led_by_1, isr=((0, 100),))
    view = ControllerView(live(0), offline={0})
    assert is_needed_by_hand(lost, view, is_unclean=True)
    assert election_by_hand(lost, view, is_unclean=True) is None


def report(end: int, *, kept: bool, incarnation: int = 901, epoch: int = 4) -> LogReport:
    return LogReport(incarnation, epoch, end, kept)


def test_restarted_members_that_kept_their_cache_need_not_wait_for_the_others() -> None:
    there = live(1, 2, restarted=(1, 2))
    reports = {1: report(70, kept=True), 2: report(80, kept=True, incarnation=902)}
    decision = next_decision(STATE, ControllerView(there, reports=reports))
    assert decision == Elect(7, 2, 902, ElectKind.RESTARTED, 5, 802)


def test_restarted_members_that_may_have_lost_records_wait_for_all() -> None:
    there = live(1, 2, restarted=(1, 2))
    reports = {1: report(70, kept=False), 2: report(80, kept=False, incarnation=902)}
    assert next_decision(STATE, ControllerView(there, reports=reports)) is None
    there = live(0, 1, 2, restarted=(0, 1, 2))
    reports[0] = report(90, kept=False, incarnation=900, epoch=3)
    decision = next_decision(STATE, ControllerView(there, reports=reports))
    assert decision == Elect(7, 2, 902, ElectKind.RESTARTED, 5, 802)


UNDER_MIN = replace(STATE, isr=((0, 100),), elr=((1, 101), (2, 102)))
"""Broker 0 leads; the others left the isr, of a topic that asks for two."""


def of_two(there: dict[int, LiveBroker], **fields: Any) -> ControllerView:
    return ControllerView(there, min_in_sync=2, **fields)


def test_an_eligible_replica_leads_where_nobody_of_the_isr_is_there() -> None:
    decision = next_decision(UNDER_MIN, of_two(live(1, 2)))
    assert decision == Elect(7, 1, 101, ElectKind.CLEAN, 0, 201, (0,), min_in_sync=2)
    led, _ = UNDER_MIN.apply(decision)
    assert (led.leader, led.isr, led.elr) == (1, ((1, 101),), ((0, 100), (2, 102)))


def test_a_member_of_the_isr_goes_before_an_eligible_replica() -> None:
    state = replace(UNDER_MIN, leader=NO_LEADER, isr=((2, 102),), elr=((0, 100), (1, 101)))
    decision = next_decision(state, of_two(live(0, 1, 2)))
    assert decision == Elect(7, 2, 102, ElectKind.CLEAN, 0, 202, min_in_sync=2)


def test_an_eligible_replica_that_restarted_or_is_offline_does_not_lead() -> None:
    assert next_decision(UNDER_MIN, of_two(live(1, restarted=(1,)))) is None
    assert next_decision(UNDER_MIN, of_two(live(1), offline={1})) is None


def test_a_leader_that_stops_is_replaced_out_of_the_elr_once_it_is_gone() -> None:
    assert next_decision(UNDER_MIN, of_two(live(0, 1), stopping={0})) is None
    decision = next_decision(UNDER_MIN, of_two(live(1), stopping={0}))
    assert isinstance(decision, Elect)
    assert decision.leader == 1


def test_who_restarted_leaves_the_elr_while_another_leads() -> None:
    decision = next_decision(UNDER_MIN, of_two(live(0, 1, restarted=(1,))))
    assert decision == AlterIsr(7, 4, ((0, 100),), 2, (1,))
    assert UNDER_MIN.apply(decision)[0].elr == ((2, 102),)
    decision = next_decision(UNDER_MIN, of_two(live(0, 1), offline={1}))
    assert decision == AlterIsr(7, 4, ((0, 100),), 2, (1,))


def test_an_eligible_replica_that_restarted_with_its_page_cache_may_lead() -> None:
    reports = {1: report(70, kept=True)}
    decision = next_decision(UNDER_MIN, of_two(live(1, restarted=(1,)), reports=reports))
    assert decision == Elect(7, 1, 901, ElectKind.RESTARTED, 5, 801, min_in_sync=2, unfit=(1,))
    led, _ = UNDER_MIN.apply(decision)
    assert (led.isr, led.elr) == (((1, 901),), ((0, 100), (2, 102)))


def test_who_may_have_lost_records_waits_for_the_elr_too() -> None:
    reports = {0: report(90, kept=False, incarnation=900)}
    view = of_two(live(0, restarted=(0,)), reports=reports)
    assert next_decision(UNDER_MIN, view) is None
    # A person need not wait for who may never come back.
    by_hand = election_by_hand(UNDER_MIN, view, is_unclean=True)
    assert isinstance(by_hand, Elect)
    assert (by_hand.leader, by_hand.kind) == (0, ElectKind.UNCLEAN)


def test_an_unclean_election_waits_for_no_eligible_replica_that_cannot_lead() -> None:
    view = of_two(live(1, restarted=(1,)), allows_unclean=True)
    decision = next_decision(UNDER_MIN, view)
    assert isinstance(decision, Elect)
    assert (decision.leader, decision.kind) == (1, ElectKind.UNCLEAN)
    clean = next_decision(UNDER_MIN, of_two(live(1, 2, restarted=(1,)), allows_unclean=True))
    assert isinstance(clean, Elect)
    assert (clean.leader, clean.kind) == (2, ElectKind.CLEAN)


def test_a_report_of_an_earlier_life_does_not_count() -> None:
    reports = {1: report(70, kept=True, incarnation=555)}
    assert next_decision(STATE, ControllerView(live(1, restarted=(1,)), reports=reports)) is None


@pytest.mark.parametrize("allows_unclean", [False, True])
def test_a_replica_out_of_sync_leads_only_where_the_topic_allows_it(allows_unclean: bool) -> None:
    lost = replace(STATE, isr=((0, 100),))
    view = ControllerView(live(1, 2), allows_unclean=allows_unclean)
    expected = Elect(7, 1, 101, ElectKind.UNCLEAN, 0, 201) if allows_unclean else None
    assert next_decision(lost, view) == expected


def test_no_unclean_election_while_a_member_of_the_isr_is_there() -> None:
    lost = replace(STATE, isr=((0, 100),), leader=NO_LEADER)
    view = ControllerView(live(0, 1, restarted=(0,)), allows_unclean=True)
    assert next_decision(lost, view) is None


def test_a_voter_that_lost_its_log_is_taken_in_by_a_new_generation() -> None:
    there = live(0, 1, 2)
    there[2] = replace(there[2], wal_id=999)
    decision = next_decision(STATE, ControllerView(there))
    assert decision == Reassign(7, (0, 1, 2), (0, 1, 2), (300, 301, 999))


def test_a_move_adds_waits_for_the_isr_and_drops() -> None:
    alone = PartitionState((0,), (0,), 0, 4, 7, ((0, 100),), leader_session=200, wal_ids=(300,))
    view = ControllerView(live(0, 1, 2), target=(1, 2))
    step = next_decision(alone, view)
    assert step == Reassign(7, (1, 2, 0), (1, 2, 0), (301, 302, 300))
    added, _ = alone.apply(step)
    assert next_decision(added, view) is None
    in_sync = replace(added, isr=((0, 100), (1, 101), (2, 102)))
    step = next_decision(in_sync, view)
    assert step == Reassign(8, (1, 2), (1, 2, 0), (301, 302, 300))
    moved, _ = in_sync.apply(step)
    assert moved.leader == NO_LEADER
    assert next_decision(moved, view) == Elect(9, 1, 101, ElectKind.CLEAN, 0, 201)


def test_a_move_waits_for_brokers_that_are_not_there() -> None:
    assert next_decision(STATE, ControllerView(live(0, 1, 2), target=(0, 5))) is None


def test_leadership_goes_back_to_the_preferred_replica_when_it_is_time() -> None:
    elsewhere = replace(STATE, leader=1, leader_session=201)
    assert next_decision(elsewhere, ControllerView(live(0, 1, 2))) is None
    view = ControllerView(live(0, 1, 2), is_balance_due=True)
    assert next_decision(elsewhere, view) == Elect(7, 0, 100, ElectKind.CLEAN, 0, 200)


def test_by_hand_the_preferred_leader_is_elected_where_it_is_fit() -> None:
    elsewhere = replace(STATE, leader=1, leader_session=201)
    view = ControllerView(live(0, 1, 2))
    assert is_needed_by_hand(elsewhere, view, is_unclean=False)
    assert not is_needed_by_hand(STATE, view, is_unclean=False)
    expected = Elect(7, 0, 100, ElectKind.CLEAN, 0, 200)
    assert election_by_hand(elsewhere, view, is_unclean=False) == expected
    out_of_sync = replace(elsewhere, isr=((1, 101), (2, 102)))
    assert election_by_hand(out_of_sync, view, is_unclean=False) is None


def test_by_hand_an_unclean_election_needs_a_partition_that_nobody_leads() -> None:
    lost = replace(STATE, isr=((0, 100),))
    view = ControllerView(live(1, 2))
    assert not is_needed_by_hand(STATE, ControllerView(live(0, 1)), is_unclean=True)
    expected = Elect(7, 1, 101, ElectKind.UNCLEAN, 0, 201)
    assert election_by_hand(lost, view, is_unclean=True) == expected


@pytest.mark.parametrize("state", [STATE, replace(STATE, leader=1, leader_session=201)])
def test_by_hand_nothing_is_decided_without_a_majority_of_the_voters(state: PartitionState) -> None:
    """A leader that is cut off leads for nobody: to say that it is led would help no one."""
    view, words = ControllerView(live(0)), "majority of its voters 0,1,2: up is 0"
    with pytest.raises(EligibleLeadersNotAvailableError, match=words):
        decide_by_hand(state, view, is_unclean=True, name="clicks-0")
    with pytest.raises(PreferredLeaderNotAvailableError, match=words):
        decide_by_hand(state, view, is_unclean=False, name="clicks-0")


def test_by_hand_a_leader_that_is_alone_in_the_isr_leads_on() -> None:
    alone = replace(STATE, isr=((0, 100),))
    with pytest.raises(ElectionNotNeededError):
        decide_by_hand(alone, ControllerView(live(0)), is_unclean=True, name="clicks-0")


def test_a_witness_that_left_the_cluster_is_replaced() -> None:
    two = replace(STATE, replicas=(0, 1), voters=(0, 1, 2), isr=((0, 100), (1, 101)))
    there = live(0, 1, 3)
    assert next_decision(two, ControllerView(there, registered={0, 1, 2, 3})) is None
    decision = next_decision(two, ControllerView(there, registered={0, 1, 3}))
    assert decision == Reassign(7, (0, 1), (0, 1, 3), (300, 301, 303))


def test_two_copies_get_a_witness_once_a_third_broker_is_there() -> None:
    two = replace(STATE, replicas=(0, 1), voters=(0, 1), isr=((0, 100), (1, 101)))
    two = replace(two, wal_ids=(300, 301))
    assert next_decision(two, ControllerView(live(0, 1))) is None
    decision = next_decision(two, ControllerView(live(0, 1, 4)))
    assert decision == Reassign(7, (0, 1), (0, 1, 4), (300, 301, 304))


def test_a_move_that_is_called_off_drops_who_was_added_whoever_is_in_sync() -> None:
    added = PartitionState(
        (1, 0, 2), (1, 0, 2), 0, 4, 8, ((0, 100),), leader_session=200, wal_ids=(301, 300, 302)
    )
    view = ControllerView(live(0, 1, 2), target=(0, 2))
    assert next_decision(added, view) is None, "a move waits for broker 2"
    step = next_decision(added, replace(view, is_called_off=True))
    assert step == Reassign(8, (0, 2), (0, 2, 1), (300, 302, 301))
    nobody = replace(added, isr=((1, 101),), leader=1, leader_session=201)
    assert next_decision(nobody, replace(view, is_called_off=True)) is None


def test_a_leader_whose_disk_is_full_hands_over_to_one_that_has_room() -> None:
    view = ControllerView(live(0, 1, 2), full={0, 1})
    assert next_decision(STATE, view) == Elect(7, 2, 102, ElectKind.CLEAN, 0, 202, lost=(0,))
    # With no room anywhere, or nobody else in sync, nothing moves.
    assert next_decision(STATE, ControllerView(live(0, 1, 2), full={0, 1, 2})) is None
    alone = replace(STATE, isr=((0, 100),))
    assert next_decision(alone, ControllerView(live(0, 1, 2), full={0})) is None
    # It is better than no leader at all, and not the preferred one.
    without_1 = replace(STATE, leader=1, leader_session=201, isr=((0, 100), (1, 101)))
    decision = next_decision(without_1, ControllerView(live(0, 2), full={0}))
    assert decision == Elect(7, 0, 100, ElectKind.CLEAN, 0, 200, lost=(1,))
    led_by_1 = replace(STATE, leader=1, leader_session=201)
    view = ControllerView(live(0, 1, 2), full={0}, is_balance_due=True)
    assert next_decision(led_by_1, view) is None

"""The table of a classic group's states, against Kafka's list of valid predecessors."""

import pytest

from headrace.api.coordinator.group_state import (
    TRANSITIONS,
    GroupEvent,
    GroupState,
    GroupStateMachine,
)

PREDECESSORS = {
    GroupState.EMPTY: {GroupState.PREPARING_REBALANCE},
    GroupState.PREPARING_REBALANCE: {
        GroupState.STABLE,
        GroupState.COMPLETING_REBALANCE,
        GroupState.EMPTY,
    },
    GroupState.COMPLETING_REBALANCE: {GroupState.PREPARING_REBALANCE},
    GroupState.STABLE: {GroupState.COMPLETING_REBALANCE, GroupState.EMPTY},
    GroupState.DEAD: set(GroupState),
}


def test_each_state_follows_only_the_states_which_kafka_allows() -> None:
    for state, allowed in PREDECESSORS.items():
        found = {before for (before, _), after in TRANSITIONS.items() if after is state}
        assert found == allowed, state


def test_a_new_group_is_empty() -> None:
    assert GroupStateMachine().current is GroupState.EMPTY


def test_the_time_of_entering_and_the_state_before_are_kept() -> None:
    machine = GroupStateMachine(5)
    machine.on_event(GroupEvent.REBALANCE_STARTED, now_ms=9)
    assert (machine.previous, machine.entered_at_ms) == (GroupState.EMPTY, 9)


def test_an_event_without_a_row_is_our_own_mistake() -> None:
    machine = GroupStateMachine()
    assert not machine.can_follow(GroupEvent.ASSIGNED)
    with pytest.raises(AssertionError):
        machine.on_event(GroupEvent.ASSIGNED, now_ms=0)

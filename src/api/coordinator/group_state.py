"""The states of a classic group, and the one table that says how they follow each other.

STATE                EVENT              NEXT                 WHEN
Empty                rebalance_started  PreparingRebalance   the first member joins
Stable               rebalance_started  PreparingRebalance   a member joins, leaves, changes
CompletingRebalance  rebalance_started  PreparingRebalance   the same, before the assignment
PreparingRebalance   members_joined     CompletingRebalance  the join phase ends with members
PreparingRebalance   members_gone       Empty                the join phase ends without any
CompletingRebalance  assigned           Stable               the leader's assignment is stored
Empty                members_loaded     Stable               read back from __consumer_offsets
any                  removed            Dead                 deleted, expired or unloaded
"""

from enum import StrEnum


class GroupState(StrEnum):
    """A classic group's state; the values are the names which Kafka's clients print."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


class GroupEvent(StrEnum):
    """What may happen to a group as a whole."""

    REBALANCE_STARTED = "rebalance_started"
    MEMBERS_JOINED = "members_joined"
    MEMBERS_GONE = "members_gone"
    ASSIGNED = "assigned"
    MEMBERS_LOADED = "members_loaded"
    REMOVED = "removed"


_S, _E = GroupState, GroupEvent

TRANSITIONS: dict[tuple[GroupState, GroupEvent], GroupState] = {
    (_S.EMPTY, _E.REBALANCE_STARTED): _S.PREPARING_REBALANCE,
    (_S.STABLE, _E.REBALANCE_STARTED): _S.PREPARING_REBALANCE,
    (_S.COMPLETING_REBALANCE, _E.REBALANCE_STARTED): _S.PREPARING_REBALANCE,
    (_S.PREPARING_REBALANCE, _E.MEMBERS_JOINED): _S.COMPLETING_REBALANCE,
    (_S.PREPARING_REBALANCE, _E.MEMBERS_GONE): _S.EMPTY,
    (_S.COMPLETING_REBALANCE, _E.ASSIGNED): _S.STABLE,
    (_S.EMPTY, _E.MEMBERS_LOADED): _S.STABLE,
    **{(state, _E.REMOVED): _S.DEAD for state in _S},
}


class GroupStateMachine:
    """Where one group stands; only `on_event` moves it."""

    __slots__ = ("current", "entered_at_ms", "previous")

    def __init__(self, entered_at_ms: int | None = None) -> None:
        self.current = GroupState.EMPTY
        self.previous = GroupState.DEAD
        self.entered_at_ms = entered_at_ms  # None: not known, for groups read from old records

    def can_follow(self, event: GroupEvent) -> bool:
        """Whether `event` has a row for the current state."""
        return (self.current, event) in TRANSITIONS

    def on_event(self, event: GroupEvent, *, now_ms: int | None) -> None:
        """Move along the table; an event without a row is a mistake of ours."""
        assert self.can_follow(event), (self.current, event)
        self.previous = self.current
        self.current = TRANSITIONS[self.current, event]
        self.entered_at_ms = now_ms

"""When a leader stops serving because others may have elected another one (I8)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from headrace.raft.leader_contact import GRACE_MS, LeaderContact, is_cut_off
from headrace.raft.partition_state import PartitionState


def state_of(voters: tuple[int, ...], isr: tuple[int, ...]) -> PartitionState:
    return PartitionState(
        replicas=voters, voters=voters, leader=1, isr=tuple((broker_id, 7) for broker_id in isr)
    )


def test_a_leader_alone_in_the_isr_may_be_replaced_out_of_the_elr() -> None:
    alone = replace(state_of((1, 2, 3), (1,)), elr=((2, 7),))
    assert is_cut_off(alone, {1})
    assert not is_cut_off(alone, {1, 3})


@pytest.mark.parametrize(
    ("voters", "isr", "reachable", "cut_off"),
    [
        ((1, 2, 3), (1, 2, 3), {1, 2, 3}, False),
        ((1, 2, 3), (1, 2, 3), {1, 2}, False),
        ((1, 2, 3), (1, 2, 3), {1}, True),
        ((1, 2, 3), (1, 2), {1}, True),
        ((1, 2, 3), (1,), {1}, False),  # nobody else can be elected: no elr
        ((1, 2), (1, 2), {1}, False),  # one voter is no majority of two
        ((1, 2, 3, 4, 5), (1, 2, 3, 4, 5), {1, 2, 3}, False),
        ((1, 2, 3, 4, 5), (1, 2, 3, 4, 5), {1, 2}, True),
        ((1,), (1,), {1}, False),
    ],
)
def test_a_leader_is_cut_off_once_the_others_could_elect(
    voters: tuple[int, ...], isr: tuple[int, ...], reachable: set[int], cut_off: bool
) -> None:
    assert is_cut_off(state_of(voters, isr), reachable) is cut_off


class Stage:
    def __init__(self) -> None:
        self.changes = 0
        self.timers: list[Callable[[], None]] = []
        self.contact = LeaderContact(1, self.note)

    def note(self) -> None:
        self.changes += 1

    def cancel(self) -> None:
        """A timer that was started is kept."""

    def schedule(self, delay_ms: int, call: Callable[[], None]) -> "Stage":
        assert delay_ms == GRACE_MS
        self.timers.append(call)
        return self

    def peers(self, *live: int) -> None:
        self.contact.peers_changed(live, self.schedule)

    def let_time_pass(self) -> None:
        timers, self.timers = self.timers, []
        for timer in timers:
            timer()


def test_who_comes_counts_at_once_and_who_goes_a_little_later() -> None:
    stage = Stage()
    stage.peers(1, 2, 3)
    assert (stage.contact.reachable, stage.changes) == ({1, 2, 3}, 1)
    stage.peers(1)
    assert (stage.contact.reachable, stage.changes) == ({1, 2, 3}, 1)
    stage.let_time_pass()
    assert (stage.contact.reachable, stage.changes) == ({1}, 2)
    stage.peers(1, 3)
    assert (stage.contact.reachable, stage.changes) == ({1, 3}, 3)


def test_a_link_that_is_back_in_time_changes_nothing() -> None:
    stage = Stage()
    stage.peers(1, 2, 3)
    stage.peers(1)
    stage.peers(1, 2, 3)
    stage.let_time_pass()
    assert (stage.contact.reachable, stage.changes) == ({1, 2, 3}, 1)

"""Elect, AlterIsr, Reassign: epochs only grow, only who holds all committed records may lead."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.raft.errors import CorruptCommandError
from headrace.raft.partition_state import (
    NO_LEADER,
    AlterIsr,
    Elect,
    ElectKind,
    Form,
    Outcome,
    PartitionCommand,
    PartitionState,
    Reassign,
    decode_partition_command,
    encode_partition_command,
)

NEW = PartitionState(replicas=(1, 2, 3), voters=(1, 2, 3))


def led_by(leader: int, *, isr: tuple[tuple[int, int], ...]) -> PartitionState:
    state, outcome = NEW.apply(Elect(0, leader, 10, ElectKind.RESTARTED))
    assert outcome == Outcome.APPLIED
    state, outcome = state.apply(AlterIsr(1, 0, isr))
    assert outcome == Outcome.APPLIED
    return state


def test_an_unused_partition_may_be_led_by_any_replica() -> None:
    state, outcome = NEW.apply(Elect(0, 2, 10, ElectKind.RESTARTED))
    assert outcome == Outcome.APPLIED
    assert (state.leader, state.leader_epoch, state.partition_epoch) == (2, 0, 1)
    assert state.isr == ((2, 10),)


def test_the_leader_epoch_starts_where_the_log_on_disk_asks() -> None:
    state, _ = NEW.apply(Elect(0, 1, 10, ElectKind.RESTARTED, min_leader_epoch=8))
    assert state.leader_epoch == 8
    state, _ = state.apply(Elect(1, 1, 10, ElectKind.CLEAN, min_leader_epoch=3))
    assert state.leader_epoch == 9


def test_a_command_for_an_older_partition_epoch_does_nothing() -> None:
    state = led_by(1, isr=((1, 10), (2, 20)))
    assert state.apply(Elect(0, 2, 20)) == (state, Outcome.STALE_PARTITION_EPOCH)


def test_a_clean_election_takes_an_isr_member_of_this_incarnation_alone() -> None:
    state = led_by(1, isr=((1, 10), (2, 20)))
    assert state.apply(Elect(2, 2, 21))[1] == Outcome.NOT_ELIGIBLE
    assert state.apply(Elect(2, 3, 30))[1] == Outcome.NOT_ELIGIBLE
    assert state.apply(Elect(2, 9, 90))[1] == Outcome.NOT_A_REPLICA
    elected, outcome = state.apply(Elect(2, 2, 20))
    assert outcome == Outcome.APPLIED
    assert (elected.leader, elected.leader_epoch) == (2, 1)
    assert elected.isr == state.isr


def test_a_restarted_member_leads_alone_and_only_if_it_was_in_sync() -> None:
    state = led_by(1, isr=((1, 10), (2, 20)))
    assert state.apply(Elect(2, 3, 30, ElectKind.RESTARTED))[1] == Outcome.NOT_ELIGIBLE
    elected, _ = state.apply(Elect(2, 2, 21, ElectKind.RESTARTED))
    assert elected.isr == ((2, 21),)
    assert not elected.is_recovering


def test_an_unclean_election_is_marked_until_the_isr_is_altered() -> None:
    state = led_by(1, isr=((1, 10),))
    elected, _ = state.apply(Elect(2, 3, 30, ElectKind.UNCLEAN))
    assert elected.is_recovering
    assert elected.isr == ((3, 30),)
    settled, _ = elected.apply(AlterIsr(3, 1, ((3, 30), (1, 11))))
    assert not settled.is_recovering


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        (AlterIsr(2, 7, ((1, 10),)), Outcome.STALE_LEADER_EPOCH),
        (AlterIsr(2, 0, ()), Outcome.EMPTY_ISR),
        (AlterIsr(2, 0, ((2, 20),)), Outcome.EMPTY_ISR),
        (AlterIsr(2, 0, ((1, 10), (1, 11))), Outcome.EMPTY_ISR),
        (AlterIsr(2, 0, ((1, 10), (9, 90))), Outcome.NOT_A_REPLICA),
        (Reassign(2, (), ()), Outcome.EMPTY_ISR),
        (Reassign(2, (3,), (3,)), Outcome.EMPTY_ISR),
    ],
)
def test_a_forbidden_change_has_its_outcome_and_changes_nothing(
    command: PartitionCommand, outcome: Outcome
) -> None:
    state = led_by(1, isr=((1, 10), (2, 20)))
    assert state.apply(command) == (state, outcome)


def test_a_partition_is_formed_once() -> None:
    formed, outcome = PartitionState().apply(Form(0, (1, 2), (1, 2, 3)))
    assert outcome == Outcome.APPLIED
    assert (formed.replicas, formed.voters, formed.partition_epoch) == ((1, 2), (1, 2, 3), 1)
    assert formed.apply(Form(1, (4,), (4,))) == (formed, Outcome.NOT_A_REPLICA)
    assert PartitionState().apply(Form(0, (), ()))[1] == Outcome.NOT_A_REPLICA


def test_a_reassignment_keeps_the_isr_members_that_stay() -> None:
    state = led_by(1, isr=((1, 10), (2, 20)))
    moved, outcome = state.apply(Reassign(2, (2, 4), (2, 4, 1)))
    assert outcome == Outcome.APPLIED
    assert (moved.leader, moved.isr, moved.replicas) == (NO_LEADER, ((2, 20),), (2, 4))


BROKERS = st.integers(0, 4)
EPOCHS = st.integers(0, 12)
MEMBERS = st.lists(st.tuples(BROKERS, st.integers(0, 2)), max_size=4).map(tuple)
COMMANDS = st.one_of(
    st.builds(Elect, EPOCHS, BROKERS, st.integers(0, 2), st.sampled_from(ElectKind), EPOCHS),
    st.builds(AlterIsr, EPOCHS, EPOCHS, MEMBERS),
    st.builds(Reassign, EPOCHS, st.lists(BROKERS, max_size=3, unique=True).map(tuple), st.just(())),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(COMMANDS, st.booleans()), max_size=25))
def test_the_rules_hold_after_every_command(history: list[tuple[PartitionCommand, bool]]) -> None:
    state = PartitionState(replicas=(0, 1, 2), voters=(0, 1, 2))
    leaders: dict[int, int] = {}
    for drawn, is_timely in history:
        command = drawn
        if is_timely:
            fields = {name: getattr(command, name) for name in type(command).__slots__}
            fields["expected_partition_epoch"] = state.partition_epoch
            if isinstance(command, AlterIsr):
                fields["leader_epoch"] = state.leader_epoch
            command = type(command)(**fields)
        after, outcome = state.apply(command)
        if outcome != Outcome.APPLIED:
            assert after is state
            continue
        assert after.partition_epoch == state.partition_epoch + 1
        assert after.leader_epoch >= state.leader_epoch
        assert (after.leader_epoch > state.leader_epoch) == isinstance(command, Elect)
        assert after.isr or not state.isr
        if after.leader != NO_LEADER:
            assert leaders.setdefault(after.leader_epoch, after.leader) == after.leader
            assert after.leader in after.replicas
        if isinstance(command, Elect) and command.kind == ElectKind.CLEAN:
            assert (command.leader, command.incarnation) in state.isr
        assert PartitionState.from_bytes(after.to_bytes()) == after
        state = after


@settings(deadline=None)
@given(COMMANDS)
def test_every_command_survives_its_bytes(command: PartitionCommand) -> None:
    assert decode_partition_command(encode_partition_command(command)) == command


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_random_bytes_raise_only_the_documented_error(data: bytes) -> None:
    for decode in (decode_partition_command, PartitionState.from_bytes):
        try:
            decode(data)
        except CorruptCommandError:
            continue

"""Elect, AlterIsr, Reassign: epochs only grow, only who holds all committed records may lead."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.raft.errors import CorruptCommandError
from headrace.raft.packed_fields import pack_fields
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


WHOLE = led_by(1, isr=((1, 10), (2, 20), (3, 30)))


def shrunk(*steps: tuple[tuple[int, int], ...], min_in_sync: int = 2) -> PartitionState:
    """WHOLE after its leader asked for these isrs, one after the other."""
    state = WHOLE
    for isr in steps:
        state, outcome = state.apply(AlterIsr(state.partition_epoch, 0, isr, min_in_sync))
        assert outcome == Outcome.APPLIED
    return state


def test_who_leaves_an_isr_that_is_too_small_then_is_eligible_to_lead() -> None:
    assert shrunk(((1, 10), (2, 20))).elr == ()
    assert shrunk(((1, 10), (2, 20)), ((1, 10),)).elr == ((2, 20),)
    assert shrunk(((1, 10),)).elr == ((2, 20), (3, 30))
    assert shrunk(((1, 10),), ((1, 10),)).elr == ((2, 20), (3, 30))
    # Who was not in sync any more, when too few were left, missed what was committed since.
    assert shrunk(((1, 10), (2, 20)), ((2, 20), (1, 10)), ((1, 10),)).elr == ((2, 20),)


def test_who_is_in_sync_again_is_no_longer_in_the_elr_and_with_enough_nobody_is() -> None:
    two_missing = shrunk(((1, 10),), min_in_sync=3)
    back, _ = two_missing.apply(AlterIsr(3, 0, ((1, 10), (3, 31)), 3))
    assert back.elr == ((2, 20),)
    enough, _ = two_missing.apply(AlterIsr(3, 0, ((1, 10), (3, 31)), 2))
    assert enough.elr == ()


def test_a_topic_of_one_in_sync_or_of_an_unknown_number_has_no_elr() -> None:
    for min_in_sync in (0, 1):
        assert shrunk(((1, 10),), min_in_sync=min_in_sync).elr == ()


def test_a_topic_never_asks_for_more_in_sync_than_it_has_replicas() -> None:
    assert shrunk(((1, 10), (2, 20), (3, 30)), min_in_sync=5).elr == ()
    assert shrunk(((1, 10), (2, 20)), min_in_sync=5).elr == ((3, 30),)


def test_whoever_may_have_lost_records_does_not_enter_the_elr_and_leaves_it() -> None:
    state, _ = WHOLE.apply(AlterIsr(2, 0, ((1, 10),), 2, unfit=(3,)))
    assert state.elr == ((2, 20),)
    state, _ = state.apply(AlterIsr(3, 0, ((1, 10),), 0, unfit=(2,)))
    assert state.elr == ()


def test_an_eligible_replica_leads_alone_and_whom_it_replaces_is_eligible_then() -> None:
    state = shrunk(((1, 10), (2, 20)), ((1, 10),))
    assert state.apply(Elect(4, 2, 21, min_in_sync=2))[1] == Outcome.NOT_ELIGIBLE
    assert state.apply(Elect(4, 3, 30, min_in_sync=2))[1] == Outcome.NOT_ELIGIBLE
    elected, outcome = state.apply(Elect(4, 2, 20, min_in_sync=2))
    assert outcome == Outcome.APPLIED
    assert (elected.leader, elected.leader_epoch, elected.isr) == (2, 1, ((2, 20),))
    assert elected.elr == ((1, 10),)
    assert not elected.is_recovering
    elected, _ = state.apply(Elect(4, 2, 20, min_in_sync=2, unfit=(1,)))
    assert elected.elr == ()


def test_whom_an_election_drops_is_eligible_while_too_few_are_left() -> None:
    state = shrunk(((1, 10), (2, 20)))
    elected, _ = state.apply(Elect(3, 2, 20, lost=(1,), min_in_sync=2))
    assert (elected.isr, elected.elr) == (((2, 20),), ((1, 10),))
    elected, _ = state.apply(Elect(3, 2, 20, lost=(1,), min_in_sync=1))
    assert (elected.isr, elected.elr) == (((2, 20),), ())


def test_a_restarted_eligible_replica_may_lead_and_an_unclean_leader_leaves_no_elr() -> None:
    state = shrunk(((1, 10),))
    elected, _ = state.apply(Elect(3, 2, 21, ElectKind.RESTARTED, min_in_sync=2))
    assert (elected.isr, elected.elr) == (((2, 21),), ((1, 10), (3, 30)))
    elected, _ = state.apply(Elect(3, 2, 21, ElectKind.UNCLEAN, min_in_sync=2))
    assert (elected.isr, elected.elr) == (((2, 21),), ())


def test_who_leaves_and_comes_back_does_so_in_another_epoch_of_the_leader_that_stays() -> None:
    before = PartitionState((1, 2), (1, 2), 1, 4, 7, ((1, 10), (2, 20)))
    grown, _ = before.apply(Reassign(7, (1, 2, 3), (1, 2, 3)))
    assert (grown.leader, grown.leader_epoch) == (1, 4), "nobody left"
    alone, _ = grown.apply(Reassign(8, (1,), (1,)))
    back, _ = alone.apply(Reassign(9, (1, 2), (1, 2, 3)))
    assert (alone.leader_epoch, back.leader, back.leader_epoch) == (5, 1, 5)


def test_a_reassignment_keeps_the_eligible_replicas_that_stay() -> None:
    moved, _ = shrunk(((1, 10),)).apply(Reassign(3, (1, 3, 4), (1, 3, 4)))
    assert moved.elr == ((3, 30),)


def test_what_older_versions_wrote_is_read_with_the_meaning_that_it_had() -> None:
    state = led_by(1, isr=((1, 10), (2, 20)))
    first = ((1, 2, 3), (1, 2, 3), 1, 0, 2, ((1, 10), (2, 20)), (), False)
    assert PartitionState.from_bytes(pack_fields(1, first)) == state
    assert PartitionState.from_bytes(pack_fields(2, (*first, 0, 0, ()))) == state
    with pytest.raises(CorruptCommandError):
        PartitionState.from_bytes(pack_fields(1, (*first[:6], (3,), False)))
    old = {
        (1, (2, 2, 20, 0, 5)): Elect(2, 2, 20, ElectKind.CLEAN, 5),
        (5, (2, 2, 20, 0, 5, 7, (1,))): Elect(2, 2, 20, ElectKind.CLEAN, 5, 7, (1,)),
        (2, (2, 0, ((1, 10),))): AlterIsr(2, 0, ((1, 10),)),
    }
    for (tag, fields), command in old.items():
        assert decode_partition_command(pack_fields(tag, fields)) == command
        assert state.apply(command)[0].elr == ()


BROKERS = st.integers(0, 4)
EPOCHS = st.integers(0, 12)
MEMBERS = st.lists(st.tuples(BROKERS, st.integers(0, 2)), max_size=4).map(tuple)
UNFIT = st.lists(BROKERS, max_size=2).map(tuple)
COMMANDS = st.one_of(
    st.builds(
        Elect,
        EPOCHS,
        BROKERS,
        st.integers(0, 2),
        st.sampled_from(ElectKind),
        EPOCHS,
        min_in_sync=st.integers(0, 3),
        unfit=UNFIT,
    ),
    st.builds(AlterIsr, EPOCHS, EPOCHS, MEMBERS, st.integers(0, 3), UNFIT),
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
        has_left = not set(state.replicas).issubset(after.replicas)
        is_new_epoch = isinstance(command, Elect) or has_left
        assert (after.leader_epoch > state.leader_epoch) == is_new_epoch
        assert after.isr or not state.isr
        if after.leader != NO_LEADER:
            assert leaders.setdefault(after.leader_epoch, after.leader) == after.leader
            assert after.leader in after.replicas
        if isinstance(command, Elect) and command.kind == ElectKind.CLEAN:
            assert (command.leader, command.incarnation) in (*state.isr, *state.elr)
        assert_elr_follows(state, command, after)
        assert PartitionState.from_bytes(after.to_bytes()) == after
        state = after


def assert_elr_follows(
    before: PartitionState, command: PartitionCommand, after: PartitionState
) -> None:
    ids = [broker_id for broker_id, _ in (*after.elr, *after.isr)]
    assert len(set(ids)) == len(ids)
    assert {broker_id for broker_id, _ in after.elr} <= {*after.replicas}
    assert {*after.elr} <= {*before.elr, *before.isr}
    if isinstance(command, Elect | AlterIsr):
        assert not {broker_id for broker_id, _ in after.elr} & {*command.unfit}
        asked = min(command.min_in_sync, len(after.replicas))
        if command.min_in_sync and len(after.isr) >= asked:
            assert after.elr == ()


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

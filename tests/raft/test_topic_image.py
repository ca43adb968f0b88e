"""Partitions are born led: the first state follows from the topic and from who was registered."""

from dataclasses import replace

import pytest

from headrace.raft.cluster_commands import (
    ChangeVoters,
    CreatePartitions,
    CreateTopic,
    FinishReassignment,
    ReassignPartitions,
    RegisterBroker,
    UnregisterBroker,
)
from headrace.raft.cluster_state import ClusterState
from headrace.raft.errors import InvalidRequestError
from headrace.raft.partition_state import NO_LEADER, PartitionState
from headrace.raft.topic_image import TopicImage

ID_A = b"a" * 16


def registered(*ids: int) -> ClusterState:
    state = ClusterState()
    for broker_id in ids:
        state.apply(register(broker_id))
    return state


def register(broker_id: int, life: int = 0) -> RegisterBroker:
    return RegisterBroker(
        broker_id,
        100 + broker_id + life,
        "localhost",
        9092 + broker_id,
        None,
        200 + broker_id + life,
        300 + broker_id,
        (("PLAINTEXT", "localhost", 9092 + broker_id),),
    )


def test_the_first_registered_replica_leads_from_birth_and_all_registered_are_in_sync() -> None:
    state = registered(0, 1, 2)
    topic = state.apply(CreateTopic("clicks", ID_A, ((1, 2, 0), (9, 2, 0))))
    first = topic.birth_of(0)
    assert first is not None
    assert (first[0].leader, first[0].leader_epoch, first[0].leader_session) == (1, 0, 201)
    assert first[0].isr == ((1, 101), (2, 102), (0, 100))
    assert (first[0].voters, first[0].wal_ids) == ((1, 2, 0), (301, 302, 300))
    unknown_first = topic.birth_of(1)
    assert unknown_first is not None
    assert (unknown_first[0].leader, unknown_first[0].isr) == (2, ((2, 102), (0, 100)))


def test_two_copies_get_a_witness_that_votes_only() -> None:
    topic = registered(0, 1, 2).apply(CreateTopic("clicks", ID_A, ((2, 0),)))
    state, _ = topic.birth_of(0)
    assert (state.replicas, state.voters) == ((2, 0), (2, 0, 1))


def test_a_birth_stays_as_it_was_when_brokers_restart_and_partitions_are_added() -> None:
    state = registered(0, 1)
    state.apply(CreateTopic("clicks", ID_A, ((0, 1),)))
    state.apply(register(0, life=50))
    topic = state.apply(CreatePartitions(ID_A, ((1, 0),)))
    assert topic.birth_of(0)[0].isr == ((0, 100), (1, 101))
    assert topic.birth_of(1)[0].isr == ((1, 101), (0, 150))
    again = ClusterState.from_bytes(state.to_bytes()).topics["clicks"]
    assert again.birth_of(1) == topic.birth_of(1)


def test_without_a_registration_nothing_is_born_led() -> None:
    topic = ClusterState().apply(CreateTopic("clicks", ID_A, ((0,),)))
    assert topic.birth_of(0) is None
    nobody_there = registered(5).apply(CreateTopic("clicks", ID_A, ((0,),)))
    assert nobody_there.birth_of(0)[0].leader == NO_LEADER


def test_voters_change_once_a_generation_and_survive_a_snapshot() -> None:
    state = registered(0, 1, 2)
    assert state.apply(ChangeVoters(0, (0, 1, 2))) == 1
    with pytest.raises(InvalidRequestError, match="generation 0 is over"):
        state.apply(ChangeVoters(0, (0,)))
    again = ClusterState.from_bytes(state.to_bytes())
    assert (again.generation, again.voters) == (1, (0, 1, 2))
    assert again.brokers == state.brokers


def test_a_move_is_remembered_until_the_partition_says_it_is_done() -> None:
    state = registered(0, 1, 2)
    state.apply(CreateTopic("clicks", ID_A, ((0,), (1,))))
    topic = state.apply(ReassignPartitions(ID_A, ((0, (1, 2)), (1, (2,)))))
    assert dict(topic.targets) == {0: (1, 2), 1: (2,)}
    topic = state.apply(ReassignPartitions(ID_A, ((1, ()),)))
    assert dict(ClusterState.from_bytes(state.to_bytes()).topics["clicks"].targets) == {0: (1, 2)}
    topic = state.apply(FinishReassignment(ID_A, 0, (1, 2)))
    assert (topic.assignments, dict(topic.targets)) == (((1, 2), (1,)), {})


def test_a_broker_that_votes_or_holds_partitions_cannot_leave() -> None:
    state = registered(0, 1, 2)
    state.apply(ChangeVoters(0, (0,)))
    state.apply(CreateTopic("clicks", ID_A, ((1,),)))
    for broker_id, why in ((0, "still votes"), (1, "still holds partitions of clicks")):
        with pytest.raises(InvalidRequestError, match=why):
            state.apply(UnregisterBroker(broker_id))
    assert state.apply(UnregisterBroker(2)).broker_id == 2
    assert 2 not in state.brokers


def test_while_a_partition_moves_those_to_come_are_named_before_those_to_leave() -> None:
    born = PartitionState(replicas=(1, 2, 3))
    image = TopicImage("clicks", b"t" * 16, ((1, 2, 3),), {})
    assert image.holders_of(0, None) == image.holders_of(0, born) == (1, 2, 3)
    moving = replace(image, targets={0: (4, 2)})
    assert moving.holders_of(0, None) == moving.holders_of(0, born) == (4, 2, 1, 3)
    added = replace(born, replicas=(4, 2, 1, 3))
    assert moving.holders_of(0, added) == (4, 2, 1, 3)
    done = replace(born, replicas=(4, 2))
    assert moving.holders_of(0, done) == (4, 2)
    ended = replace(image, assignments=((4, 2),))
    assert ended.holders_of(0, added) == (4, 2)  # the partition's own last step is heard later
    called_off = replace(image, targets={0: (1, 2, 3)})
    assert called_off.holders_of(0, added) == (1, 2, 3, 4)

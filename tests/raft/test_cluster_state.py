"""The cluster's state: the same commands give the same state, a refusal changes nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.raft.cluster_commands import (
    AllocateProducerIds,
    AlterConfigs,
    Command,
    CreatePartitions,
    CreateTopic,
    DeleteTopic,
    FinishReassignment,
    ReassignPartitions,
    RegisterBroker,
    UnregisterBroker,
    decode_command,
    encode_command,
)
from headrace.raft.cluster_state import ClusterState, ProducerIdBlock
from headrace.raft.errors import (
    ClusterStateError,
    CorruptCommandError,
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidRequestError,
    InvalidTopicError,
    ReassignmentChangedError,
    TopicExistsError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
)
from headrace.raft.packed_fields import pack_fields

ID_A = b"a" * 16
ID_B = b"b" * 16


def state_with_topic() -> ClusterState:
    state = ClusterState()
    state.apply(CreateTopic("clicks", ID_A, ((0,), (0,)), (("retention.ms", "5"),)))
    return state


def test_a_created_topic_is_found_by_name_and_by_id() -> None:
    state = state_with_topic()
    topic = state.topics["clicks"]
    assert topic is state.topic_by_id(ID_A)
    assert (topic.partition_count, dict(topic.configs)) == (2, {"retention.ms": "5"})
    assert not topic.is_internal


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (CreateTopic("clicks", ID_B, ((0,),)), TopicExistsError),
        (CreateTopic("a b", ID_B, ((0,),)), InvalidTopicError),
        (CreateTopic("other", ID_A, ((0,),)), InvalidRequestError),
        (CreateTopic("other", bytes(16), ((0,),)), InvalidRequestError),
        (CreateTopic("other", ID_B, ()), InvalidPartitionsError),
        (CreateTopic("other", ID_B, ((0,),) * 10_001), InvalidPartitionsError),
        (CreateTopic("other", ID_B, ((),)), InvalidReplicaAssignmentError),
        (CreateTopic("other", ID_B, ((1, 1),)), InvalidReplicaAssignmentError),
        (CreateTopic("other", ID_B, ((-1,),)), InvalidReplicaAssignmentError),
        (DeleteTopic(ID_B), UnknownTopicIdError),
        (CreatePartitions(ID_B, ((0,),)), UnknownTopicIdError),
        (CreatePartitions(ID_A, ()), InvalidPartitionsError),
        (AlterConfigs("topic", "nope", {"a": "b"}), UnknownTopicOrPartitionError),
        (AlterConfigs("planet", "mars", {"a": "b"}), InvalidRequestError),
        (AllocateProducerIds(0, 0), InvalidRequestError),
        (AllocateProducerIds(0, 1 << 63), InvalidRequestError),
        (RegisterBroker(-1, 1, "h", 1), InvalidRequestError),
    ],
)
def test_a_refused_command_raises_its_error_and_changes_nothing(
    command: Command, error: type[ClusterStateError]
) -> None:
    state = state_with_topic()
    before = state.to_bytes()
    with pytest.raises(error):
        state.apply(command)
    assert state.to_bytes() == before


def test_names_that_differ_in_dot_and_underscore_alone_collide_until_one_is_deleted() -> None:
    state = ClusterState()
    state.apply(CreateTopic("a.b", ID_A, ((0,),)))
    with pytest.raises(InvalidTopicError, match=r"collides with 'a\.b'"):
        state.apply(CreateTopic("a_b", ID_B, ((0,),)))
    state.apply(DeleteTopic(ID_A))
    state.apply(CreateTopic("a_b", ID_B, ((0,),)))
    assert set(state.topics) == {"a_b"}
    assert state.topic_by_id(ID_A) is None


def test_added_partitions_stand_behind_the_old_ones() -> None:
    state = state_with_topic()
    grown = state.apply(CreatePartitions(ID_A, ((1,), (2,))))
    assert grown.assignments == ((0,), (0,), (1,), (2,))
    assert state.topics["clicks"] is grown is state.topic_by_id(ID_A)


def test_configs_are_set_and_deleted_per_resource() -> None:
    state = state_with_topic()
    state.apply(AlterConfigs("topic", "clicks", {"a": "1", "b": "2"}, ("retention.ms",)))
    assert dict(state.topics["clicks"].configs) == {"a": "1", "b": "2"}
    state.apply(AlterConfigs("broker", "", {"x": "1"}))
    state.apply(AlterConfigs("broker", "3", {"x": "2"}))
    assert dict(state.broker_configs("")) == {"x": "1"}
    assert dict(state.broker_configs(3)) == {"x": "2"}
    state.apply(AlterConfigs("broker", "3", {}, ("x",)))
    assert dict(state.broker_configs(3)) == {}
    assert state.config_resources("broker") == [""]
    assert state.config_resources("topic") == ["clicks"]


def test_producer_id_blocks_never_overlap() -> None:
    state = ClusterState()
    assert state.apply(AllocateProducerIds(0, 1000)) == ProducerIdBlock(0, 1000)
    assert state.apply(AllocateProducerIds(1, 10)) == ProducerIdBlock(1000, 10)
    assert state.next_producer_id == 1010


def test_a_broker_that_registers_again_replaces_its_registration() -> None:
    state = ClusterState()
    state.apply(RegisterBroker(1, 7, "here", 9092))
    state.apply(RegisterBroker(1, 8, "there", 9093, "rack-a"))
    assert (state.brokers[1].incarnation, state.brokers[1].port) == (8, 9093)


NAMES = st.sampled_from(["a", "b", "a.b", "a_b", "bad name", ""])
IDS = st.sampled_from([ID_A, ID_B, bytes(16)])
ASSIGNMENTS = st.lists(st.lists(st.integers(-1, 3), max_size=3).map(tuple), max_size=3).map(tuple)
REPLICAS = st.lists(st.integers(-1, 3), max_size=3).map(tuple)
TEXT = st.text(max_size=5)
COMMANDS = st.one_of(
    st.builds(RegisterBroker, st.integers(-1, 3), st.integers(0, 9), TEXT, st.integers(0, 9), TEXT),
    st.builds(CreateTopic, NAMES, IDS, ASSIGNMENTS, st.lists(st.tuples(TEXT, TEXT)).map(tuple)),
    st.builds(DeleteTopic, IDS),
    st.builds(CreatePartitions, IDS, ASSIGNMENTS),
    st.builds(
        AlterConfigs,
        st.sampled_from(["topic", "broker", "group", "x"]),
        NAMES,
        st.dictionaries(TEXT, TEXT, max_size=3),
        st.lists(TEXT, max_size=2).map(tuple),
    ),
    st.builds(AllocateProducerIds, st.integers(0, 3), st.integers(-1, 5)),
    st.builds(UnregisterBroker, st.integers(-1, 3), st.booleans()),
    st.builds(
        ReassignPartitions,
        IDS,
        st.lists(st.tuples(st.integers(-1, 3), REPLICAS), max_size=2).map(tuple),
        st.lists(st.tuples(REPLICAS, REPLICAS), max_size=2).map(tuple),
    ),
    st.builds(FinishReassignment, IDS, st.integers(-1, 3), REPLICAS, REPLICAS),
)


@settings(deadline=None)
@given(COMMANDS)
def test_every_command_survives_its_bytes(command: Command) -> None:
    assert decode_command(encode_command(command)) == command


@settings(deadline=None, max_examples=200)
@given(st.lists(COMMANDS, max_size=20), st.integers(0, 20))
def test_a_replay_from_any_snapshot_gives_the_same_state(
    commands: list[Command], snapshot_at: int
) -> None:
    straight, snapshotted = ClusterState(), ClusterState()
    for number, command in enumerate(commands):
        if number == snapshot_at:
            snapshotted = ClusterState.from_bytes(snapshotted.to_bytes())
        outcomes = []
        for state in (straight, snapshotted):
            before = state.to_bytes()
            try:
                outcomes.append(state.apply(command))
            except ClusterStateError as refusal:
                outcomes.append((type(refusal), str(refusal)))
                assert state.to_bytes() == before
        assert outcomes[0] == outcomes[1]
    assert straight.to_bytes() == snapshotted.to_bytes()
    assert {t.topic_id for t in straight.topics.values()} == set(straight._topics_by_id)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_raise_only_the_documented_error(data: bytes) -> None:
    for decode in (decode_command, ClusterState.from_bytes):
        try:
            decode(data)
        except CorruptCommandError:
            continue


@settings(deadline=None)
@given(COMMANDS, st.data())
def test_a_damaged_command_is_refused_or_is_another_command(
    command: Command, data: st.DataObject
) -> None:
    damaged = bytearray(encode_command(command))
    position = data.draw(st.integers(0, len(damaged) - 1))
    damaged[position] ^= data.draw(st.integers(1, 255))
    try:
        again = decode_command(bytes(damaged))
    except CorruptCommandError:
        return
    assert encode_command(again)


def test_a_command_of_a_newer_version_is_named_as_such() -> None:
    with pytest.raises(CorruptCommandError, match="a newer one wrote it"):
        decode_command(b"\x92\x63\x01")


def test_a_move_ends_where_it_is_to_go_and_nowhere_else() -> None:
    state = ClusterState()
    topic_id = b"m" * 16
    state.apply(CreateTopic("moved", topic_id, ((0,),)))
    state.apply(ReassignPartitions(topic_id, ((0, (1,)),)))
    state.apply(ReassignPartitions(topic_id, ((0, (2,)),)))
    late = state.apply(FinishReassignment(topic_id, 0, (1,)))
    assert (late.assignments, dict(late.targets)) == (((0,),), {0: (2,)})
    moved = state.apply(FinishReassignment(topic_id, 0, (2,)))
    assert (moved.assignments, dict(moved.targets)) == (((2,),), {})


def test_commands_of_older_journals_are_read_as_they_were_meant() -> None:
    older = {
        8: (UnregisterBroker(2), (2,)),
        10: (ReassignPartitions(ID_A, ((0, (1,)),)), (ID_A, ((0, (1,)),))),
        11: (FinishReassignment(ID_A, 0, (1,)), (ID_A, 0, (1,))),
    }
    for tag, (command, fields) in older.items():
        assert decode_command(pack_fields(tag, fields)) == command


def state_of_three() -> tuple[ClusterState, bytes]:
    """Brokers 0 to 2; a topic of one partition on broker 0."""
    state = ClusterState()
    for number in range(3):
        state.apply(RegisterBroker(number, 100 + number, "localhost", 9092))
    state.apply(CreateTopic("clicks", ID_A, ((0,),)))
    return state, ID_A


def test_a_move_that_its_proposer_did_not_see_is_not_replaced_unawares() -> None:
    state, topic_id = state_of_three()
    state.apply(ReassignPartitions(topic_id, ((0, (1,)),), (((0,), ()),)))
    calls_off = ReassignPartitions(topic_id, ((0, (0,)),), (((0,), (1,)),))
    elsewhere = ReassignPartitions(topic_id, ((0, (2,)),), (((0,), (1,)),))
    state.apply(FinishReassignment(topic_id, 0, (1,), (0,)))
    for late in (calls_off, elsewhere):
        with pytest.raises(ReassignmentChangedError):
            state.apply(late)
    topic = state.topics["clicks"]
    assert (topic.assignments, dict(topic.targets)) == (((1,),), {})


def test_a_move_that_ended_before_it_was_sent_elsewhere_has_ended() -> None:
    state, topic_id = state_of_three()
    state.apply(ReassignPartitions(topic_id, ((0, (1,)),), (((0,), ()),)))
    state.apply(ReassignPartitions(topic_id, ((0, (2,)),), (((0,), (1,)),)))
    one_step = state.apply(FinishReassignment(topic_id, 0, (1, 0), (0,)))
    assert one_step.assignments == ((0,),), "broker 0 has not left"
    ended = state.apply(FinishReassignment(topic_id, 0, (1,), (0,)))
    assert (ended.assignments, dict(ended.targets)) == (((1,),), {0: (2,)})
    twice = state.apply(FinishReassignment(topic_id, 0, (1,), (0,)))
    assert twice is ended
    late = state.apply(FinishReassignment(topic_id, 0, (2,), (0,)))
    assert late is ended, "who says so has not heard that broker 1 holds it"
    assert state.apply(FinishReassignment(topic_id, 0, (2,), (1,))).assignments == ((2,),)


def test_nothing_moves_to_a_broker_that_left_nor_leaves_one_that_awaits_a_move() -> None:
    state, topic_id = state_of_three()
    state.apply(UnregisterBroker(2, spares_targets=True))
    with pytest.raises(InvalidReplicaAssignmentError):
        state.apply(ReassignPartitions(topic_id, ((0, (2,)),), (((0,), ()),)))
    with pytest.raises(InvalidRequestError):
        state.apply(ReassignPartitions(topic_id, ((0, (1,)),), (((0,), ()), ((0,), ()))))
    state.apply(ReassignPartitions(topic_id, ((0, (1,)),), (((0,), ()),)))
    with pytest.raises(InvalidRequestError):
        state.apply(UnregisterBroker(1, spares_targets=True))
    state.apply(ReassignPartitions(topic_id, ((0, (0,)),), (((0,), (1,)),)))
    assert state.apply(UnregisterBroker(1, spares_targets=True)).broker_id == 1

"""A log that a broker kept by mistake when its partition moved away goes; no other one does."""

from pathlib import Path

import pytest

from headrace.raft.cluster_commands import CreateTopic, ReassignPartitions
from headrace.raft.partition_state import AlterIsr
from tests.raft.fake_log import FakeLog
from tests.raft.test_partitions_of_three import ID_A, ID_B, Node, returned_behind_the_end, settle
from tests.support.fake_runtime import FakeNetwork


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    network = FakeNetwork()
    nodes = [Node(network, tmp_path / str(n), n).joined() for n in range(4)]
    nodes[1].decide(CreateTopic("clicks", ID_A, ((0, 1),)))
    return nodes


def move_away(nodes: list[Node], to: tuple[int, int] = (1, 2)) -> FakeLog:
    """Another broker takes the place of broker 0, whose log is given."""
    log = nodes[0].logs.by_name["clicks", 0]
    nodes[1].decide(ReassignPartitions(ID_A, ((0, to),)))
    state, added = nodes[0].state(), nodes[to[1]].peer
    grown = (*state.isr, (added.broker_id, added.incarnation))
    in_sync = AlterIsr(state.partition_epoch, state.leader_epoch, grown)
    nodes[0].partition().group.propose(in_sync, lambda _outcome: None)
    settle(nodes[0])
    assert log.is_deleted
    assert nodes[1].cluster.state.topics["clicks"].assignments == (to,)
    return log


def killed_before_the_deletion(node: Node, log: FakeLog) -> Node:
    """Its next life: what it journaled is there, and its folder too."""
    node.fallen()
    log.is_deleted = False
    node.logs.by_name[log.topic, log.partition] = log
    return node.returned(is_clean=False)


@pytest.mark.parametrize("to", [(1, 2), (1, 3)])
def test_a_log_whose_deletion_was_cut_off_goes_once_the_state_is_present(
    nodes: list[Node], to: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    log = move_away(nodes, to)
    is_witness = nodes[0].replicas.seats.seat_of(ID_A, 0) is not None
    assert is_witness == (to == (1, 3))
    again = killed_before_the_deletion(nodes[0], log)
    assert not log.is_deleted, "what was decided meanwhile may not be known here yet"
    again.replicas.finish_deletions()
    assert log.is_deleted
    assert "clicks-0 moved to other brokers before" in caplog.text
    for broker_id in to:
        assert ("clicks", 0) in nodes[broker_id].logs.by_name


def test_a_log_goes_whose_broker_finds_that_a_generation_ended_without_it(
    nodes: list[Node],
) -> None:
    """It leaves before it has opened the partition: a checkpoint came behind the last decision."""
    nodes[0].decide(CreateTopic("views", ID_B, ((0, 1, 2),)))
    nodes[2] = returned_behind_the_end(nodes[2], "views", ID_B)
    assert nodes[2].cluster.state.topics["views"].assignments == ((0,),)
    assert ("views", 0) in nodes[2].logs.by_name
    nodes[2].replicas.finish_deletions()
    assert ("views", 0) not in nodes[2].logs.by_name
    assert ("views", 0) in nodes[0].logs.by_name


def test_a_log_goes_once_no_move_is_under_way_that_could_need_it(nodes: list[Node]) -> None:
    log = move_away(nodes)
    nodes[3].fallen()  # so that the next move waits for it
    nodes[1].decide(ReassignPartitions(ID_A, ((0, (1, 2, 3)),)))
    again = killed_before_the_deletion(nodes[0], log)
    again.replicas.finish_deletions()
    assert dict(again.cluster.state.topics["clicks"].targets) == {0: (1, 2, 3)}
    assert not log.is_deleted
    nodes[1].decide(ReassignPartitions(ID_A, ((0, (1, 2)),)))
    assert dict(again.cluster.state.topics["clicks"].targets) == {}
    assert log.is_deleted


@pytest.mark.parametrize("topic_id", [ID_B, bytes(16)])
def test_a_folder_of_another_topics_id_stays(nodes: list[Node], topic_id: bytes) -> None:
    nodes[1].decide(CreateTopic("views", ID_B, ((1, 2),)))
    log = move_away(nodes)
    log.topic_id = topic_id
    again = killed_before_the_deletion(nodes[0], log)
    again.replicas.finish_deletions()
    assert not log.is_deleted


def test_a_folder_of_a_group_that_this_broker_never_was_in_stays(nodes: list[Node]) -> None:
    """Somebody put it there."""
    nodes[1].decide(CreateTopic("views", ID_B, ((0, 1, 2),)))
    log = FakeLog("views", 0, topic_id=ID_B)
    again = killed_before_the_deletion(nodes[3], log)
    again.replicas.finish_deletions()
    assert not log.is_deleted


def test_what_this_broker_holds_stays_while_it_is_to_move(nodes: list[Node]) -> None:
    nodes[1].decide(ReassignPartitions(ID_A, ((0, (1, 2)),)))
    for node in nodes[:3]:
        node.replicas.finish_deletions()
        assert ("clicks", 0) in node.logs.by_name

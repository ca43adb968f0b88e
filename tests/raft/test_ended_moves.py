"""Moves as they end: called off, sent elsewhere, overtaken by a late step of theirs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.raft.cluster_commands import CreateTopic, FinishReassignment, ReassignPartitions
from headrace.raft.cluster_group import ClusterGroup
from headrace.raft.partition_state import AlterIsr, Reassign
from tests.raft.test_partitions_of_three import ID_A, Node, settle
from tests.support.fake_runtime import FakeNetwork


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    network = FakeNetwork()
    return [Node(network, tmp_path / str(n), n).joined() for n in range(3)]


def test_a_move_that_is_called_off_leaves_no_copy_behind(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0,),)))
    nodes[0].decide(ReassignPartitions(ID_A, ((0, (1, 0)),)))
    assert nodes[0].state().replicas == (1, 0)
    nodes[2].decide(ReassignPartitions(ID_A, ((0, (0,)),)))
    assert nodes[0].state().replicas == (0,)
    assert nodes[0].partition().is_leader
    assert ("clicks", 0) not in nodes[1].logs.by_name
    topic = nodes[1].cluster.state.topics["clicks"]
    assert (dict(topic.targets), topic.assignments) == ({}, ((0,),))


def test_a_step_that_outlives_its_move_is_taken_back(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1),)))
    state = nodes[0].state()
    late = Reassign(state.partition_epoch, (2, 0, 1), (0, 1, 2), (300, 301, 302))
    nodes[0].partition().group.propose(late, lambda _outcome: None)
    settle(nodes[0])
    for node in nodes:
        assert node.cluster.state.topics["clicks"].assignments == ((0, 1),)
        assert node.state().replicas == (0, 1)


def end_a_move_untold(
    nodes: list[Node], *target: int
) -> tuple[FinishReassignment, Callable[[Any], None]]:
    """A copy moves from broker 0 on; what is said of the end, and how it is told at last."""
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0,),)))
    held: list[tuple[FinishReassignment, Callable[[Any], None]]] = []
    for node in nodes:

        def propose(
            command: Any, on_done: Callable[[Any], None], of: ClusterGroup = node.cluster
        ) -> None:
            if isinstance(command, FinishReassignment):
                held.append((command, on_done))
            else:
                ClusterGroup.propose(of, command, on_done)

        node.cluster.propose = propose  # type: ignore[method-assign, assignment]
    nodes[0].decide(ReassignPartitions(ID_A, ((0, target),)))
    state = nodes[0].state()
    isr = tuple((each, 100 + each) for each in (0, *target))
    in_sync = AlterIsr(state.partition_epoch, state.leader_epoch, isr)
    nodes[0].partition().group.propose(in_sync, lambda _outcome: None)
    settle(nodes[0])
    assert nodes[1].state().replicas == target
    return held[0]


def test_a_partition_whose_move_ended_is_led_before_the_cluster_knows(nodes: list[Node]) -> None:
    end_a_move_untold(nodes, 1, 2)
    assert nodes[1].state().leader == 1
    assert nodes[1].partition().is_leader


def test_a_move_called_off_as_it_ended_goes_back_with_every_copy_in_sync(
    nodes: list[Node],
) -> None:
    ended, on_done = end_a_move_untold(nodes, 1)
    nodes[0].decide(ReassignPartitions(ID_A, ((0, (0,)),), (((0,), (1,)),)))
    # Nobody holds it where it was any more: to be there it has to move, as to anywhere else.
    assert nodes[1].state().replicas == (1,)
    ClusterGroup.propose(nodes[0].cluster, ended, on_done)
    settle(nodes[0])
    topic = nodes[2].cluster.state.topics["clicks"]
    assert (topic.assignments, dict(topic.targets)) == (((1,),), {0: (0,)})
    assert nodes[1].state().replicas == (0, 1), "broker 1 stays until broker 0 is in sync"

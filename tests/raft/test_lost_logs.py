"""A broker that comes back without its log is not the in-sync replica that it was."""

from pathlib import Path

import pytest

from headrace.raft.cluster_commands import CreateTopic
from headrace.raft.partition_state import AlterIsr, Outcome
from tests.raft.test_partitions_of_three import ID_A, Node, settle
from tests.support.fake_runtime import FakeNetwork


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    network = FakeNetwork()
    return [Node(network, tmp_path / str(n), n).joined() for n in range(3)]


def lose_log(node: Node) -> None:
    """Its folder is gone when the broker starts again."""
    node.logs.lost.add(("clicks", 0))
    node.logs.by_name.pop(("clicks", 0), None)


def shrink_to(nodes: list[Node], last: int, *, min_in_sync: int = 0) -> None:
    """Broker `last` leads, alone in the isr."""
    state = nodes[last].state()
    assert state.leader == last
    alone = tuple(member for member in state.isr if member[0] == last)
    outcomes: list[object] = []
    command = AlterIsr(state.partition_epoch, state.leader_epoch, alone, min_in_sync)
    nodes[last].partition().group.propose(command, outcomes.append)
    settle(nodes[last])
    assert outcomes == [Outcome.APPLIED]


@pytest.mark.parametrize("is_clean", [True, False])
def test_the_last_in_sync_replica_without_its_log_is_not_elected(
    nodes: list[Node], is_clean: bool
) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    shrink_to(nodes, 0)
    for _ in range(2):  # the second start finds no more than the first
        nodes[0].fallen()
        lose_log(nodes[0])
        nodes[0] = nodes[0].returned(is_clean=is_clean)
        settle(nodes[0])
        for node in nodes:
            assert [member[0] for member in node.state().isr] == [0]
            assert node.replicas.leader_of("clicks", 0) is None
            assert not node.partition().is_leader
        assert ("clicks", 0) not in nodes[0].logs.by_name
    assert "its folder is gone" in nodes[0].partition().offline_reason
    # A person gives its records up: who has some of them leads, and it begins anew.
    assert nodes[0].elect_by_hand(is_unclean=True) is Outcome.APPLIED
    settle(nodes[0])
    assert nodes[1].partition().is_leader
    assert nodes[0].partition().is_follower
    assert nodes[0].partition().log is not None
    assert list(nodes[1].replicas.offline_replicas(ID_A, 0)) == []


@pytest.mark.parametrize("is_clean", [True, False])
def test_one_of_several_in_sync_without_its_log_leaves_the_isr_and_begins_anew(
    nodes: list[Node], is_clean: bool
) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    nodes[0].fallen()
    lose_log(nodes[0])
    nodes[0] = nodes[0].returned(is_clean=is_clean)
    settle(nodes[0])
    assert nodes[1].partition().is_leader
    assert nodes[1].state().isr == ((1, 101), (2, 102))
    assert nodes[0].partition().is_follower
    assert nodes[0].partition().log is not None
    assert list(nodes[1].replicas.offline_replicas(ID_A, 0)) == []


def test_with_no_other_replica_left_a_person_may_go_on_without_the_records(
    nodes: list[Node],
) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1),)))
    shrink_to(nodes, 0)
    nodes[0].fallen()
    lose_log(nodes[0])
    nodes[0] = nodes[0].returned(is_clean=False)
    nodes[1].fallen()
    assert not nodes[0].partition().is_leader
    assert nodes[0].elect_by_hand(is_unclean=True) is Outcome.APPLIED
    settle(nodes[0])
    assert nodes[0].partition().is_leader
    assert nodes[0].partition().log is not None
    assert nodes[0].partition().isr == (0,)


def test_who_is_eligible_to_lead_begins_its_log_anew_once_it_is_no_more(nodes: list[Node]) -> None:
    two = (("min.insync.replicas", "2"),)
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),), two))
    shrink_to(nodes, 0, min_in_sync=2)
    assert nodes[0].state().elr == ((1, 101), (2, 102))
    seat = nodes[1].replicas.seats.seat_of(ID_A, 0)
    assert seat is not None
    seat.was_held = True
    assert not seat.may_lose_log(1, nodes[1].replicas.seats.session)
    nodes[1].fallen()
    lose_log(nodes[1])
    nodes[1] = nodes[1].returned(is_clean=True)
    settle(nodes[1])
    assert nodes[0].state().elr == ((2, 102),)
    assert nodes[1].partition().log is not None
    assert list(nodes[0].replicas.offline_replicas(ID_A, 0)) == []

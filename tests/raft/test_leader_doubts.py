"""A leader that was cut off serves again only once a majority has agreed that it still leads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import OffsetOutOfRangeError
from headrace.raft.cluster_commands import CreateTopic
from headrace.raft.errors import NotLeaderOrFollowerError, UnknownOutcomeError
from headrace.raft.leader_doubts import LeaderDoubts
from headrace.raft.leader_lease import LeaderLease
from headrace.raft.partition_state import AlterIsr, Outcome, PartitionState
from tests.raft.test_partitions_of_three import ID_A, Node
from tests.support.fake_runtime import FakeNetwork


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    network = FakeNetwork()
    found = [Node(network, tmp_path / str(n), n).joined() for n in range(3)]
    found[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    return found


def tell_links(node: Node, live: dict[int, Any]) -> None:
    """What a broker hears of its own links, and nothing else yet."""
    for callback in node.runtime.on_peers_changed:
        callback(live)


def cut_off(node: Node) -> None:
    """Its links break, for longer than those that are dialed again at once."""
    del node.network.up[node.peer.broker_id]
    tell_links(node, {node.peer.broker_id: node.peer})
    delayed, node.delayed[:] = list(node.delayed), []
    for call in delayed:
        call()


def link_again(node: Node) -> None:
    """Its links are back; no other word has come over them yet."""
    node.network.up[node.peer.broker_id] = node.runtime
    tell_links(node, node.runtime.live_brokers())


def is_serving(node: Node) -> bool:
    try:
        node.partition().offset_for_timestamp(-2)
        node.partition().fetch_records(fetch_offset=0, max_bytes=1)
    except NotLeaderOrFollowerError:
        return False
    except OffsetOutOfRangeError:
        return True
    return True


def test_a_leader_that_was_replaced_meanwhile_serves_nothing_when_its_links_are_back(
    nodes: list[Node],
) -> None:
    cut_off(nodes[0])
    assert not is_serving(nodes[0])
    nodes[1].network.peers_changed()
    nodes[1].network.settle()
    assert nodes[1].partition().is_leader
    link_again(nodes[0])
    assert nodes[0].state().leader == 0  # it has not heard
    assert not is_serving(nodes[0])
    nodes[0].network.settle()
    assert nodes[0].partition().is_follower
    assert nodes[0].state().leader == 1


def test_a_leader_that_nobody_replaced_serves_on_once_that_is_agreed(nodes: list[Node]) -> None:
    before = nodes[0].state()
    cut_off(nodes[0])
    link_again(nodes[0])
    assert not is_serving(nodes[0])
    nodes[0].network.settle()
    assert is_serving(nodes[0])
    state = nodes[0].state()
    assert (state.leader_epoch, state.isr) == (before.leader_epoch, before.isr)
    assert state.partition_epoch == before.partition_epoch + 1
    nodes[0].network.settle()
    assert nodes[2].state() == state  # asked once


class AskedGroup:
    """A group whose answers come when a test says so."""

    base_id = "partition-x-0"

    def __init__(self) -> None:
        self.state = PartitionState(leader=0, leader_epoch=3, partition_epoch=7, isr=((0, 100),))
        self.asked: list[tuple[AlterIsr, Callable[[Any], None]]] = []

    def propose(self, command: AlterIsr, on_done: Callable[[Any], None]) -> None:
        self.asked.append((command, on_done))


def test_what_is_not_decided_is_asked_again_and_an_answer_to_earlier_doubts_proves_nothing() -> (
    None
):
    group: Any = AskedGroup()
    proved: list[str] = []
    timers: list[Callable[[], None]] = []
    doubts = LeaderDoubts(proved.append)
    doubts.schedule = lambda _ms, call: timers.append(call)  # type: ignore[assignment,return-value]
    assert not doubts.must_prove(group)
    doubts.begin(group)
    assert [doubts.must_prove(group), doubts.must_prove(group)] == [True, True]
    assert [command for command, _ in group.asked] == [AlterIsr(7, 3, ((0, 100),))]
    group.asked[0][1](UnknownOutcomeError("its link failed"))
    assert doubts.must_prove(group)
    assert len(group.asked) == 1
    timers.pop()()
    assert proved == [group.base_id]  # look again
    assert doubts.must_prove(group)
    assert len(group.asked) == 2
    doubts.begin(group)  # cut off again, while that is under way
    assert doubts.must_prove(group)
    assert len(group.asked) == 3
    group.asked[1][1](Outcome.APPLIED)
    assert doubts.must_prove(group)
    doubts.renew(group, ends=False)
    assert doubts.must_prove(group)
    group.asked[2][1](Outcome.APPLIED)
    assert doubts.must_prove(group)
    group.asked[3][1](Outcome.APPLIED)
    assert proved == [group.base_id] * 2
    assert not doubts.must_prove(group)


def test_a_leader_that_did_not_run_for_a_while_serves_once_it_is_agreed_that_it_still_leads(
    nodes: list[Node],
) -> None:
    assert is_serving(nodes[0])
    nodes[0].replicas.seats.contact.overslept()
    assert not is_serving(nodes[0])
    nodes[0].network.settle()
    assert is_serving(nodes[0])
    assert nodes[0].state().leader == 0


def test_who_looks_after_a_stop_has_overslept_once_whatever_was_sent_since() -> None:
    lease = LeaderLease(0.6)
    assert not lease.has_overslept(1e3)  # nothing was sent to others yet
    lease.renew(1000.0, 999.95)
    assert [lease.has_overslept(1000.1), lease.has_overslept(1000.54)] == [False, False]
    lease.renew(1000.54, 1000.5)
    lease.renew(1001.2, 1001.2)  # it was stopped, and the Raft thread is the first to go on
    assert [lease.has_overslept(1001.2), lease.has_overslept(1001.3)] == [True, False]
    lease.renew(1001.4, 1001.4)
    assert not lease.has_overslept(1002.0)


def test_who_was_stopped_for_less_than_the_lease_behind_a_ping_has_overslept() -> None:
    lease = LeaderLease(0.6)
    lease.renew(10.0, 9.95)
    assert not lease.has_overslept(10.05)  # served, and stopped
    assert lease.has_overslept(10.6)  # those who heard it last at 9.95 elected at 10.55


def test_who_has_served_all_along_has_not_overslept_though_nothing_could_be_sent() -> None:
    lease = LeaderLease(0.6)
    lease.renew(10.0, 10.0)
    assert not any(lease.has_overslept(10 + look / 4) for look in range(40))

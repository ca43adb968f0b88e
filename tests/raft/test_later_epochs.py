"""A replica with records of a later epoch than its partition's says so, and what to do."""

import logging
from pathlib import Path
from typing import cast

import pytest

from headrace.raft.cluster_commands import CreateTopic, DeleteTopic
from headrace.raft.later_epochs import SAY_AFTER_MS
from tests.raft.test_partitions_of_three import ID_A, Node, settle
from tests.support.fake_runtime import FakeNetwork
from tests.support.manual_clock import ManualClock


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    """Broker 2 comes back with a folder of another cluster."""
    network = FakeNetwork()
    nodes = [Node(network, tmp_path / str(n), n).joined() for n in range(3)]
    nodes[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    nodes[2].fallen()
    foreign = nodes[2].logs.by_name["clicks", 0]
    foreign.content, foreign.epochs = b"abc", [(1, 0), (7, 2)]
    nodes[2] = nodes[2].returned(is_clean=False)
    settle(nodes[2])
    assert not nodes[2].partition().is_follower
    return nodes


def pass_time(node: Node, milliseconds: int) -> None:
    """What the broker's timetable does, before and after."""
    node.replicas.review_isrs()
    cast(ManualClock, node.replicas._clock).advance(milliseconds)
    node.replicas.review_isrs()


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_it_is_said_once_in_each_epoch(nodes: list[Node], caplog: pytest.LogCaptureFixture) -> None:
    pass_time(nodes[2], SAY_AFTER_MS - 1)
    assert warnings_in(caplog) == [], "it may hear of its epoch at any moment"
    pass_time(nodes[2], 1)
    (warning,) = warnings_in(caplog)
    assert "/logs/clicks-0 has records of leader epoch 7" in warning
    assert "clicks-0 is in epoch 0, led by broker 0" in warning
    pass_time(nodes[2], 10 * SAY_AFTER_MS)
    assert warnings_in(caplog) == [warning]
    nodes[0].fallen()
    assert (nodes[2].state().leader, nodes[2].state().leader_epoch) == (1, 1)
    pass_time(nodes[2], SAY_AFTER_MS)
    assert "is in epoch 1, led by broker 1" in warnings_in(caplog)[1]
    assert len(warnings_in(caplog)) == 2


def test_a_leader_that_is_not_heard_proves_nothing(
    nodes: list[Node], caplog: pytest.LogCaptureFixture
) -> None:
    pass_time(nodes[2], 0)
    nodes[0].fallen()
    nodes[1].fallen()
    pass_time(nodes[2], 10 * SAY_AFTER_MS)
    assert warnings_in(caplog) == []


def test_it_begins_anew_in_the_way_that_is_told(nodes: list[Node]) -> None:
    nodes[2].fallen()
    del nodes[2].logs.by_name["clicks", 0]
    nodes[2].logs.lost.add(("clicks", 0))
    nodes[2] = nodes[2].returned(is_clean=True)
    settle(nodes[2])
    assert nodes[2].partition().is_follower


def test_a_deleted_topic_is_forgotten(nodes: list[Node]) -> None:
    pass_time(nodes[2], 0)
    later_epochs = nodes[2].replicas._later_epochs
    assert len(later_epochs._seen) == 1
    nodes[0].decide(DeleteTopic(ID_A))
    assert later_epochs._seen == {}

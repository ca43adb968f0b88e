"""A journal without room: what a broker cannot decide now, it decides once there is room."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import KafkaStorageError
from headrace.raft.cluster_commands import CreateTopic, ReassignPartitions
from tests.raft.test_partitions_of_three import Node, settle
from tests.support.fake_runtime import FakeNetwork

ID_A = b"a" * 16
ID_B = b"b" * 16


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    network = FakeNetwork()
    return [Node(network, tmp_path / str(n), n).joined() for n in range(3)]


@contextlib.contextmanager
def full_disk(node: Node, *refused: str) -> Iterator[None]:
    """While this lasts, what the loop thread writes to the broker's journal finds no room."""

    def refuse(*_: Any, **__: Any) -> None:
        error = OSError(errno.ENOSPC, "No space left on device")
        raise KafkaStorageError(node.folder, "no space") from error

    with pytest.MonkeyPatch.context() as patched:
        for name in refused:
            patched.setattr(node.wal, name, refuse)
        yield


@pytest.mark.parametrize("decides", [0, 1])
def test_partitions_that_a_full_disk_left_unled_are_led_once_there_is_room(
    nodes: list[Node], decides: int
) -> None:
    with full_disk(nodes[1], "append_entries"):
        nodes[decides].decide(CreateTopic("clicks", ID_A, ((1,), (2,), (1, 2, 0))))
        nodes[decides].decide(CreateTopic("views", ID_B, ((0,),)))
        assert not nodes[1].partition().is_leader
        nodes[1].replicas.retry_unopened()
        assert not nodes[1].partition().is_leader
    assert nodes[2].partition(1).is_leader
    assert nodes[1].partition(2).is_leader, "others decide about this one"
    assert nodes[0].partition(topic="views").is_leader
    nodes[1].replicas.retry_unopened()
    settle(nodes[1])
    assert nodes[1].partition().is_leader
    assert nodes[0].state().leader == 1
    assert sorted(nodes[1].cluster.state.topics) == ["clicks", "views"]


def test_a_move_that_a_full_journal_stopped_goes_on_once_there_is_room(nodes: list[Node]) -> None:
    nodes[0].decide(CreateTopic("clicks", ID_A, ((1,),)))
    with full_disk(nodes[1], "append_entries"):
        nodes[0].decide(ReassignPartitions(ID_A, ((0, (1, 2, 0)),)))
        run_delayed(nodes[1])
    assert nodes[1].partition().is_leader, "it serves all the while"
    run_delayed(nodes[1])
    for node in nodes:
        assert (node.state().replicas, node.state().leader) == ((1, 2, 0), 1)


def run_delayed(node: Node) -> None:
    """What was to be tried again is tried again."""
    delayed, node.delayed[:] = list(node.delayed), []
    for call in delayed:
        call()
    settle(node)

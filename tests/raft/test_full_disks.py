"""Who has no room says so once, another one leads, and it is over once there is room."""

import errno
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import KafkaStorageError
from headrace.core.worker import InlineWorker
from headrace.raft import full_disks
from headrace.raft.cluster_commands import CreateTopic, DeleteTopic
from headrace.raft.full_disks import FullDisks
from headrace.raft.offline_replicas import OfflineReplicas
from headrace.raft.partition_group import partition_group_id
from tests.raft.test_partitions_of_three import ID_A, Node, settle
from tests.support.fake_runtime import FakeNetwork
from tests.support.held_worker import HeldWorker


@pytest.fixture
def nodes(tmp_path: Path) -> list[Node]:
    network = FakeNetwork()
    found = [Node(network, tmp_path / str(n), n).joined() for n in range(3)]
    found[0].decide(CreateTopic("clicks", ID_A, ((0, 1, 2),)))
    return found


def fill(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its next append finds no room."""

    def refuse(*_: Any, **__: Any) -> None:
        raise KafkaStorageError(Path("data"), "full") from OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(node.logs.by_name["clicks", 0], "append_as_leader", refuse)
    with pytest.raises(KafkaStorageError):
        node.partition().append_records(b"a", required_acks=-1)
    settle(node)


def leaders(nodes: list[Node]) -> list[int]:
    return [node.state().leader for node in nodes]


def test_leadership_goes_on_while_somebody_has_room_and_comes_back_with_it(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    has_room = False

    def check_room(_folder: Path, _size_bytes: int) -> None:
        if not has_room:
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(full_disks, "check_room", check_room)
    fill(nodes[0], monkeypatch)
    assert leaders(nodes) == [1, 1, 1]
    assert nodes[1].state().isr == ((1, 101), (2, 102))
    fill(nodes[1], monkeypatch)
    assert leaders(nodes) == [2, 2, 2]
    fill(nodes[2], monkeypatch)
    epoch = nodes[2].state().leader_epoch
    for _ in range(3):
        for node in nodes:
            node.replicas.retry_unopened()
            node.replicas.seats.balance()
            settle(node)
    assert leaders(nodes) == [2, 2, 2]  # nobody has room: nothing goes to and fro
    assert nodes[0].state().leader_epoch == epoch
    has_room = True
    for node in nodes:
        node.replicas.retry_unopened()
        settle(node)
        assert list(nodes[1].replicas.seats.offline.full.brokers_of("")) == []
    assert not nodes[1].replicas.seats.offline.full
    assert leaders(nodes) == [2, 2, 2]


def test_a_deleted_topic_is_forgotten(nodes: list[Node], monkeypatch: pytest.MonkeyPatch) -> None:
    fill(nodes[0], monkeypatch)
    full = nodes[0].replicas._full_disks
    assert len(full._full) == 1
    nodes[1].decide(DeleteTopic(ID_A))
    assert full._full == set()


def test_the_loop_does_not_wait_for_the_look(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[tuple[Path, int]] = []
    monkeypatch.setattr(full_disks, "check_room", lambda *place: looks.append(place))
    worker, told = HeldWorker(), OfflineReplicas(0, lambda _base_ids: None)
    disks = FullDisks(told, worker)
    partition = nodes[0].partition()
    base_id = partition_group_id(partition.topic_id, partition.index)
    disks.note(partition)
    disks.look()
    disks.look()
    assert looks == []
    assert list(told.full.brokers_of(base_id)) == [0]
    worker.run_all()
    assert len(looks) == 1, "one look at a time"
    assert not told.full
    disks.look()
    worker.run_all()
    assert len(looks) == 1, "nobody waits for room"


def test_a_look_that_fails_unforeseen_is_made_again(
    nodes: list[Node], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    disks = FullDisks(OfflineReplicas(0, lambda _base_ids: None), InlineWorker())
    disks.note(nodes[0].partition())
    with monkeypatch.context() as patched:
        patched.setattr(full_disks, "check_room", fail)
        disks.look()
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.setattr(full_disks, "check_room", lambda *_: None)
    disks.look()
    assert disks._full == set()

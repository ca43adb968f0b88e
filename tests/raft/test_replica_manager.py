"""The replica manager: what the cluster decides is what this broker hosts."""

from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import LogCorruptedError
from headrace.core.log_config import LogConfig
from headrace.raft.cluster_commands import (
    AlterConfigs,
    CreatePartitions,
    CreateTopic,
    DeleteTopic,
)
from headrace.raft.cluster_group import ClusterGroup
from headrace.raft.errors import (
    NotLeaderOrFollowerError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
)
from headrace.raft.raft_wal import RaftWal
from headrace.raft.replica_manager import ReplicaManager
from tests.raft.fake_log import FakeLog, FakeLogManager
from tests.support.manual_clock import ManualClock

ID_A = b"a" * 16
ID_B = b"b" * 16


class Node:
    """A broker's agreement floor over logs in memory; `restart` keeps the disk."""

    def __init__(self, folder: Path, logs: FakeLogManager | None = None, *, seed: int = 0) -> None:
        self.folder = folder
        self.logs = logs or FakeLogManager()
        self.wal = RaftWal.open(folder)
        self.cluster = ClusterGroup(self.wal, broker_id=0)
        self.replicas = ReplicaManager(
            broker_id=0,
            log_manager=self.logs,
            cluster_group=self.cluster,
            wal=self.wal,
            clock=ManualClock(seed=seed),
        )
        self.news: list[tuple[str, str, int]] = []
        self.replicas.on_partition_online.append(
            lambda p: self.news.append(("online", p.topic, p.index))
        )
        self.replicas.on_partition_offline.append(
            lambda p: self.news.append(("offline", p.topic, p.index))
        )

    def started(self) -> "Node":
        self.replicas.start()
        return self

    def decide(self, command: Any) -> Any:
        results: list[Any] = []
        self.cluster.propose(command, results.append)
        return results[0]

    def crash(self) -> "Node":
        self.wal.close()
        return Node(self.folder, self.logs, seed=self.wal.size_bytes)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path).started()


def test_a_created_topic_is_led_here_before_the_answer(node: Node) -> None:
    node.decide(CreateTopic("clicks", ID_A, ((0,), (0,)), (("retention.ms", "7"),)))
    partition = node.replicas.partition("clicks", 1)
    assert partition is node.replicas.partition_by_id(ID_A, 1)
    assert (partition.is_leader, partition.leader_epoch, partition.isr) == (True, 0, (0,))
    assert node.logs.by_name["clicks", 1].config.retention_ms == 7
    assert node.news == [("online", "clicks", 0), ("online", "clicks", 1)]
    assert len(list(node.replicas.partitions())) == 2


def test_what_is_not_here_is_named_by_its_error(node: Node) -> None:
    node.decide(CreateTopic("clicks", ID_A, ((0,), (5,))))
    for topic, index in (("nope", 0), ("clicks", 2), ("clicks", -1)):
        with pytest.raises(UnknownTopicOrPartitionError):
            node.replicas.partition(topic, index)
    with pytest.raises(NotLeaderOrFollowerError):
        node.replicas.partition("clicks", 1)
    with pytest.raises(UnknownTopicIdError):
        node.replicas.partition_by_id(ID_B, 0)
    with pytest.raises(UnknownTopicOrPartitionError):
        node.replicas.partition_by_id(ID_A, 9)


def test_every_restart_raises_the_leader_epoch_and_keeps_the_records(node: Node) -> None:
    node.decide(CreateTopic("clicks", ID_A, ((0,),)))
    for epoch in range(1, 5):
        node.replicas.partition("clicks", 0).append_records(b"ab", required_acks=-1)
        node = node.crash().started()
        partition = node.replicas.partition("clicks", 0)
        assert partition.leader_epoch == epoch
        assert partition.partition_epoch == epoch + 2
        assert partition.high_watermark == 2 * epoch


def test_all_elections_of_a_start_are_one_batch(tmp_path: Path) -> None:
    node = Node(tmp_path).started()
    for number in range(1, 6):
        node.decide(CreateTopic(f"t{number}", bytes([number]) * 16, ((0,),) * 20))
    node = node.crash()
    written: list[int] = []
    append_entries = node.wal.append_entries
    node.wal.append_entries = lambda entries: (  # type: ignore[method-assign]
        written.append(len(entries)),
        append_entries(entries),
    )[1]
    node.started()
    assert written == [100]
    assert len(node.news) == 100


def test_leader_epochs_go_on_where_the_log_on_disk_ended(node: Node) -> None:
    log = node.logs.by_name["old", 0] = FakeLog("old", 0)
    log.epochs, log.content = [(41, 0)], b"abc"
    node.decide(CreateTopic("old", ID_A, ((0,), (0,)), (("retention.ms", "9"),)))
    partition = node.replicas.partition("old", 0)
    assert (partition.leader_epoch, partition.high_watermark) == (42, 3)
    assert node.replicas.partition("old", 1).leader_epoch == 0
    assert log.config.retention_ms == 9


def test_a_topic_that_grows_keeps_its_old_partitions(node: Node) -> None:
    node.decide(CreateTopic("clicks", ID_A, ((0,),)))
    before = node.replicas.partition("clicks", 0)
    node.decide(CreatePartitions(ID_A, ((0,), (0,))))
    assert node.replicas.partition("clicks", 0) is before
    assert node.replicas.partition("clicks", 2).is_leader
    assert before.leader_epoch == 0


def test_a_deleted_topic_releases_its_waiters_and_may_be_created_again(node: Node) -> None:
    node.decide(CreateTopic("clicks", ID_A, ((0,),), (("flush.messages", "1"),)))
    partition = node.replicas.partition("clicks", 0)
    log = node.logs.by_name["clicks", 0]
    passed: list[Any] = []
    woken: list[int] = []
    partition.append_records(b"abc", required_acks=-1)
    partition.wait_for_high_watermark(3, passed.append)
    partition.add_fetch_waiter(lambda: woken.append(1))
    node.decide(DeleteTopic(ID_A))
    assert isinstance(passed[0], UnknownTopicOrPartitionError)
    assert woken == [1]
    assert log.is_deleted
    assert node.news[-1] == ("offline", "clicks", 0)
    node.decide(CreateTopic("clicks", ID_B, ((0,),)))
    with pytest.raises(UnknownTopicIdError):
        node.replicas.partition_by_id(ID_A, 0)
    node = node.crash().started()
    assert node.replicas.partition("clicks", 0).topic_id == ID_B
    assert node.replicas.partition("clicks", 0).leader_epoch == 1
    assert list(node.wal.replay()) == []


def test_a_deletion_that_a_crash_interrupted_is_finished_at_the_next_start(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path).started()
    node.decide(CreateTopic("clicks", ID_A, ((0,), (0,))))
    log = node.logs.by_name["clicks", 1]

    def crash(topic: str, partition: int) -> None:
        raise RuntimeError("killed")

    node.logs.delete_log = crash  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        node.decide(DeleteTopic(ID_A))
    del node.logs.delete_log
    other = node.logs.by_name["other", 0] = FakeLog("other", 0, topic_id=ID_B)
    node = node.crash().started()
    assert log.is_deleted
    assert not other.is_deleted
    assert node.logs.by_name.keys() == {("other", 0)}
    assert list(node.wal.replay()) == []


def test_a_topic_deleted_while_its_folder_is_offline_is_deleted_when_that_is_back(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path).started()
    node.decide(CreateTopic("clicks", ID_A, ((0,),)))
    lost = node.logs.by_name.pop(("clicks", 0))
    node.logs.offline_dirs.append(Path("lost"))
    node = node.crash().started()
    assert not node.replicas.partition("clicks", 0).is_online
    node.decide(DeleteTopic(ID_A))
    node = node.crash().started()  # the folder is still away
    node.logs.by_name["clicks", 0] = lost
    node.logs.offline_dirs.clear()
    node = node.crash().started()
    assert lost.is_deleted
    assert list(node.wal.replay()) == []


def test_changed_settings_reach_the_logs(node: Node) -> None:
    node.decide(CreateTopic("clicks", ID_A, ((0,),)))
    node.decide(CreateTopic("other", ID_B, ((0,),)))
    node.decide(AlterConfigs("topic", "clicks", {"flush.messages": "1"}))
    assert node.logs.by_name["clicks", 0].config.flush_messages == 1
    node.replicas.partition("clicks", 0).append_records(b"a", required_acks=1)
    assert node.replicas.partition("clicks", 0).high_watermark == 0
    node.replicas.set_default_config(LogConfig(retention_ms=55))
    clicks, other = node.logs.by_name["clicks", 0].config, node.logs.by_name["other", 0].config
    assert (clicks.retention_ms, clicks.flush_messages, other.retention_ms) == (55, 1, 55)
    node.decide(AlterConfigs("topic", "clicks", {}, ("flush.messages",)))
    assert node.replicas.partition("clicks", 0).high_watermark == 1


def test_a_log_that_does_not_open_leaves_its_partition_offline_and_the_others_serve(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path).started()
    node.decide(CreateTopic("clicks", ID_A, ((0,), (0,))))
    node = node.crash()
    node.logs.faults["clicks", 0] = LogCorruptedError(Path("clicks-0"), 77, "bad CRC")
    node.started()
    broken, sound = node.replicas.partition("clicks", 0), node.replicas.partition("clicks", 1)
    assert (broken.is_online, broken.is_leader, broken.leader_id) == (False, False, -1)
    assert "corrupt at byte 77" in broken.offline_reason
    assert sound.is_leader
    assert node.news == [("online", "clicks", 1)]
    node.logs.faults.clear()
    node = node.crash().started()
    assert node.replicas.partition("clicks", 0).leader_epoch == 1


def test_a_setting_nobody_can_read_keeps_a_topic_offline_until_it_is_mended(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path)
    node.decide(CreateTopic("clicks", ID_A, ((0,),), (("retention.ms", "soon"),)))
    node.started()
    partition = node.replicas.partition("clicks", 0)
    assert "retention.ms" in partition.offline_reason
    node.decide(AlterConfigs("topic", "clicks", {"retention.ms": "5"}))
    assert partition.is_leader
    assert node.news == [("online", "clicks", 0)]


def test_a_failed_folder_takes_its_partitions_offline_alone(node: Node) -> None:
    node.decide(CreateTopic("clicks", ID_A, ((0,), (0,))))
    node.logs.by_name["clicks", 0].path = Path("/bad/clicks-0")
    assert node.logs.on_dir_offline is not None
    node.logs.on_dir_offline(Path("/bad"))
    assert not node.replicas.partition("clicks", 0).is_online
    assert node.replicas.partition("clicks", 1).is_leader
    assert node.news[-1] == ("offline", "clicks", 0)


def test_a_closed_manager_serves_nothing(node: Node) -> None:
    node.decide(CreateTopic("clicks", ID_A, ((0,),)))
    node.replicas.close()
    with pytest.raises(NotLeaderOrFollowerError):
        node.replicas.partition("clicks", 0).append_records(b"a", required_acks=1)


def test_restarts_under_checkpoints_keep_epochs_growing(tmp_path: Path) -> None:
    node = Node(tmp_path).started()
    node.decide(CreateTopic("clicks", ID_A, ((0,),) * 10))
    for epoch in range(1, 8):
        node.wal.checkpoint()
        node = node.crash().started()
        assert {p.leader_epoch for p in node.replicas.partitions()} == {epoch}

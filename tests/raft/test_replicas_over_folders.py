"""The replica manager over real folders: what a stop, a crash or a bad disk leaves is served."""

import errno
from pathlib import Path
from typing import Any

import pytest

from headrace.core.clock import SystemClock
from headrace.core.errors import KafkaStorageError
from headrace.core.log_config import LogConfig
from headrace.core.worker import InlineWorker
from headrace.raft.cluster_commands import AlterConfigs, CreateTopic, DeleteTopic
from headrace.raft.errors import UnknownTopicOrPartitionError
from headrace.raft.left_groups import LeftGroups
from headrace.raft.partition_group import partition_group_id
from headrace.raft.partition_state import PartitionState
from tests.raft.test_partition_over_log import batch
from tests.support.folder_node import FolderNode

ID_A = b"a" * 16
ID_B = b"b" * 16


class Node(FolderNode):
    """A broker whose worker does each job at once."""

    def __init__(self, *log_dirs: Path) -> None:
        config = LogConfig(file_delete_delay_ms=0)
        super().__init__(*log_dirs, clock=SystemClock(), worker=InlineWorker(), config=config)
        self.replicas.start()

    def again(self, *, clean: bool = True) -> "Node":
        self.replicas.close()
        self.logs.close(clean=clean)
        self.wal.close()
        return Node(*self.log_dirs)


@pytest.mark.parametrize("is_clean", [True, False])
def test_topics_records_and_ids_are_there_again_after_a_stop(
    tmp_path: Path, is_clean: bool
) -> None:
    node = Node(tmp_path)
    node.decide(CreateTopic("clicks", ID_A, ((0,), (0,))))
    node.replicas.partition("clicks", 1).append_records(batch(b"a", b"b"), required_acks=-1)
    node = node.again(clean=is_clean)
    partition = node.replicas.partition_by_id(ID_A, 1)
    assert (partition.leader_epoch, partition.high_watermark) == (1, 2)
    assert (partition.log_start_offset, partition.log_end_offset) == (0, 2)
    assert partition.log is not None
    assert partition.log.topic_id == ID_A
    assert node.replicas.partition("clicks", 0).high_watermark == 0
    node.again()


def test_a_log_that_is_corrupt_in_its_middle_is_offline_alone(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.decide(CreateTopic("clicks", ID_A, ((0,), (0,))))
    for index in (0, 1):
        for _ in range(3):
            node.replicas.partition("clicks", index).append_records(
                batch(b"x" * 200), required_acks=-1
            )
    node.replicas.close()
    node.logs.close(clean=False)
    node.wal.close()
    segment = tmp_path / "clicks-0" / ("0" * 20 + ".log")
    content = bytearray(segment.read_bytes())
    content[100] ^= 1
    segment.write_bytes(content)
    node = Node(tmp_path)
    broken = node.replicas.partition("clicks", 0)
    assert not broken.is_online
    with pytest.raises(KafkaStorageError, match="corrupt"):
        broken.append_records(batch(b"y"), required_acks=1)
    sound = node.replicas.partition("clicks", 1)
    assert sound.high_watermark == 3
    sound.append_records(batch(b"y"), required_acks=-1)
    node.again()


def test_a_deleted_topic_leaves_no_folder_and_its_name_is_free(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.decide(CreateTopic("clicks", ID_A, ((0,),)))
    node.replicas.partition("clicks", 0).append_records(batch(b"a"), required_acks=1)
    node.decide(DeleteTopic(ID_A))
    node.logs.delete_due_folders()
    assert not list(tmp_path.glob("clicks-*"))
    with pytest.raises(UnknownTopicOrPartitionError):
        node.replicas.partition("clicks", 0)
    node.decide(CreateTopic("clicks", ID_B, ((0,),)))
    node = node.again(clean=False)
    partition = node.replicas.partition("clicks", 0)
    assert (partition.topic_id, partition.high_watermark) == (ID_B, 0)
    node.again()


def test_a_folder_that_a_kill_left_when_its_partition_moved_away_goes(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for name, topic_id, folder_id in (("clicks", ID_A, ID_A), ("views", ID_B, b"o" * 16)):
        node.decide(CreateTopic(name, topic_id, ((1,),)))
        moved = PartitionState((1,), (1,), generation=2, partition_epoch=4)
        LeftGroups(node.wal).leave(partition_group_id(topic_id, 0), moved)
        node.logs.get_or_create_log(name, 0, topic_id=folder_id, config=LogConfig())
    node = node.again(clean=False)
    node.logs.delete_due_folders()
    assert not list(tmp_path.glob("clicks-*"))
    assert (tmp_path / "views-0").is_dir(), "it is of another topic"
    node.again()


def test_a_topic_that_flushes_commits_only_what_is_on_disk(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.decide(CreateTopic("clicks", ID_A, ((0,),)))
    node.decide(AlterConfigs("topic", "clicks", {"flush.messages": "1"}))
    partition = node.replicas.partition("clicks", 0)
    partition.append_records(batch(b"a"), required_acks=-1)
    assert partition.log is not None
    assert partition.log.recovery_point == partition.high_watermark == 1
    node.again()


def test_a_disk_that_fails_to_sync_takes_its_folder_offline_and_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    node = Node(good, bad)
    node.decide(CreateTopic("clicks", ID_A, ((0,),) * 4, (("flush.messages", "1"),)))
    by_folder = {
        folder: [p for p in node.replicas.partitions() if p.log and folder in p.log.path.parents]
        for folder in (good, bad)
    }
    assert all(by_folder.values())
    failing, passed = by_folder[bad][0], []
    monkeypatch.setattr("headrace.core.log_flusher.FlushPlan.run", _fail_with_eio)
    failing.append_records(batch(b"a"), required_acks=-1)
    failing.wait_for_high_watermark(1, passed.append)
    assert [type(outcome) for outcome in passed] == [KafkaStorageError]
    assert failing.high_watermark == 0
    with pytest.raises(KafkaStorageError):
        failing.append_records(batch(b"b"), required_acks=1)
    monkeypatch.undo()
    assert not any(partition.is_online for partition in by_folder[bad])
    for partition in by_folder[good]:
        partition.append_records(batch(b"a"), required_acks=-1)
        assert partition.high_watermark == 1
    node.again(clean=False)


def _fail_with_eio(_plan: Any) -> int:
    raise OSError(errno.EIO, "Input/output error")

"""The journal in words: what was decided can be read without starting a broker."""

from pathlib import Path

import pytest

from headrace.core.errors import InconsistentLogDirError, KafkaStorageError
from headrace.raft.cluster_commands import AllocateProducerIds, CreateTopic, DeleteTopic
from headrace.raft.errors import RaftWalCorruptedError
from headrace.raft.raft_wal import WAL_FOLDER_NAME, wal_folder_in
from headrace.raft.wal_dump import dump_wal
from tests.raft.test_replica_manager import Node


def test_every_record_is_told_in_words_and_the_file_is_left_as_it_is(tmp_path: Path) -> None:
    node = Node(tmp_path).started()
    node.decide(CreateTopic("clicks", b"a" * 16, ((0,),)))
    node.wal.checkpoint()
    node.decide(AllocateProducerIds(0, 10))
    node.wal.append_entries([("someone else", 1, 1, b"xyz"), ("cluster", 3, 1, b"\x91\x63")])
    node.decide(DeleteTopic(b"a" * 16))
    before = node.wal.path.read_bytes()
    told = list(dump_wal(node.wal.path))
    group = "partition-" + "61" * 16 + "-0"
    assert [(each["kind"], each["group"]) for each in told[:-1]] == [
        ("snapshot", "cluster"),
        ("snapshot", group),
        ("entry", "cluster"),
        ("entry", "someone else"),
        ("entry", "cluster"),
        ("entry", "cluster"),
        ("forget", group),
    ]
    words = [each["content"] for each in told[:-1]]
    assert words[0] == "brokers=[] topics=['clicks']"
    assert "leader_epoch=0" in words[1]
    assert words[2] == "AllocateProducerIds(broker_id=0, count=10)"
    assert words[3] == "3 bytes"
    assert "a newer one wrote it" in words[4]
    assert words[6] == ""
    assert told[-1] == {"end_position": node.wal.size_bytes, "torn_bytes": 0}
    node.wal.close()
    torn = before[: node.wal.size_bytes - 2]
    node.wal.path.write_bytes(torn)
    assert list(dump_wal(node.wal.path))[-1]["torn_bytes"] > 0
    assert node.wal.path.read_bytes() == torn


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    for name, content in (("0.wal", b"HRWAL"), ("x.wal", b"HRWAL\0\0\x01")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RaftWalCorruptedError):
            list(dump_wal(tmp_path / name))


def test_the_journal_stays_in_its_folder_when_log_dirs_are_reordered(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    assert wal_folder_in([first, second]) == first / WAL_FOLDER_NAME
    (second / WAL_FOLDER_NAME).mkdir(parents=True)
    assert wal_folder_in([first, second]) == second / WAL_FOLDER_NAME
    (first / WAL_FOLDER_NAME).mkdir(parents=True)
    with pytest.raises(InconsistentLogDirError, match="both write-ahead logs"):
        wal_folder_in([first, second])


def test_no_journal_begins_anew_while_the_old_one_may_be_in_an_offline_folder(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    dirs = [first, second]
    assert wal_folder_in(dirs, offline=[second]) == first / WAL_FOLDER_NAME  # a new broker
    for offline, is_in_use in ((first, False), (second, True)):
        with pytest.raises(KafkaStorageError, match="decisions may be there"):
            wal_folder_in(dirs, offline=[offline], is_in_use=is_in_use)
    (first / WAL_FOLDER_NAME).mkdir(parents=True)
    assert wal_folder_in(dirs, offline=[second], is_in_use=True) == first / WAL_FOLDER_NAME
    with pytest.raises(KafkaStorageError):
        wal_folder_in(dirs, offline=[first], is_in_use=True)

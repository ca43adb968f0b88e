"""Turns of the raft thread in the write-ahead log: all of one or nothing, terms and votes too."""

import errno
import os
import threading
from pathlib import Path

import pytest

from headrace.core.errors import KafkaStorageError
from headrace.raft.raft_group import RaftGroup
from headrace.raft.raft_wal import GroupImage, RaftWal
from headrace.raft.wal_format import NO_VOTE, WalRecord, WalRecordKind
from headrace.raft.wal_replay import records_of, replay_record
from tests.support.raft_cluster import GROUP_ID, ListMachine, Member, RaftCluster

SNAPSHOT, ENTRY = WalRecordKind.SNAPSHOT, WalRecordKind.ENTRY
HARD_STATE, FORGET = WalRecordKind.HARD_STATE, WalRecordKind.FORGET


def vote(term: int, voted_for: int | None, group_id: str = "g") -> WalRecord:
    return WalRecord(HARD_STATE, group_id, NO_VOTE if voted_for is None else voted_for, term, b"")


def reopen(wal: RaftWal) -> RaftWal:
    wal.close()
    return RaftWal.open(wal.folder)


def test_terms_and_votes_are_there_after_reopening_and_after_a_checkpoint(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path)
    wal.append_turn([WalRecord(SNAPSHOT, "g", 1, 0, b"first"), vote(3, 0), vote(3, None, "h")])
    wal.append_turn([WalRecord(ENTRY, "g", 2, 3, b"x")])
    for _ in range(2):
        wal = reopen(wal)
        images = wal.replay()
        assert images["g"] == GroupImage(1, 0, b"first", [(2, 3, b"x")], 3, 0)
        assert (images["h"].term, images["h"].voted_for) == (3, None)
        wal.checkpoint()


def test_a_snapshot_keeps_the_vote_and_a_later_vote_replaces_it(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path)
    wal.append_turn([vote(3, 2), WalRecord(SNAPSHOT, "g", 9, 3, b"state")])
    wal.append_turn([vote(4, None)])
    image = reopen(wal).replay()["g"]
    assert (image.snapshot_index, image.term, image.voted_for) == (9, 4, None)


def test_a_turn_may_forget_groups(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path)
    wal.attach_group("g", lambda: GroupImage(1, 0, b"state"))
    wal.append_turn([vote(1, 1), WalRecord(FORGET, "g", 0, 0, b"")])
    wal.checkpoint()
    assert reopen(wal).replay() == {}


def test_a_detached_group_stays_in_the_log(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path)
    wal.attach_group("g", lambda: GroupImage(5, 2, b"state", [], 2, 1))
    wal.detach_group("g")
    wal.checkpoint()
    assert reopen(wal).replay()["g"] == GroupImage(5, 2, b"state", [], 2, 1)


def test_a_checkpoint_stands_behind_the_turn_that_made_it_due(tmp_path: Path) -> None:
    """Groups have changed before their records are written; the image must not come first."""
    wal = RaftWal.open(tmp_path, checkpoint_bytes=1024)
    state = [0]
    wal.attach_group("g", lambda: GroupImage(state[0] + 1, 1, b"state %d" % state[0], [], 1, 1))
    wal.append_turn([WalRecord(SNAPSHOT, "g", 1, 0, b"")])
    for number in range(1, 100):
        state[0] = number
        wal.append_turn([WalRecord(ENTRY, "g", number + 1, 1, bytes(100))])
    image = reopen(wal).replay()["g"]
    assert image.last_index == 100
    assert image.snapshot == b"state %d" % (image.snapshot_index - 1)


def test_turns_torn_at_every_byte_leave_whole_turns(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path)
    expected, ends = [dict[str, GroupImage]()], [wal.size_bytes]
    model: dict[str, GroupImage] = {}
    for turn in turns_of_an_election():
        wal.append_turn(turn)
        for record in turn:
            replay_record(model, record)
        expected.append({gid: rebuilt(gid, image) for gid, image in model.items()})
        ends.append(wal.size_bytes)
    wal.close()
    content = wal.path.read_bytes()
    for size in range(ends[0], ends[-1] + 1):
        wal.path.write_bytes(content[:size])
        again = RaftWal.open(tmp_path)
        whole = max(number for number, end in enumerate(ends) if end <= size)
        assert again.replay() == expected[whole], size
        again.close()


def rebuilt(group_id: str, image: GroupImage) -> GroupImage:
    """A copy, by way of its checkpoint's records."""
    copies: dict[str, GroupImage] = {}
    for record in records_of(group_id, image):
        replay_record(copies, record)
    return copies[group_id]


def turns_of_an_election() -> list[list[WalRecord]]:
    """What a broker journals that votes in two terms and follows two leaders."""
    return [
        [WalRecord(SNAPSHOT, "g", 1, 0, b"first"), WalRecord(SNAPSHOT, "h", 1, 0, b"first")],
        [vote(1, None), vote(1, 2), vote(1, 2, "h")],
        [WalRecord(ENTRY, "g", 2, 1, b""), WalRecord(ENTRY, "g", 3, 1, b"lost")],
        [vote(2, None), vote(2, 3), WalRecord(ENTRY, "h", 2, 1, b"kept")],
        [WalRecord(ENTRY, "g", 3, 2, b""), WalRecord(ENTRY, "g", 4, 2, b"won")],
        [WalRecord(SNAPSHOT, "g", 9, 2, b"later"), WalRecord(ENTRY, "g", 10, 2, b"on it")],
    ]


def test_nobody_votes_twice_in_a_term_wherever_the_log_is_torn(tmp_path: Path) -> None:
    """A vote leaves after its turn is synced; from there on no torn tail reaches it."""
    cluster = RaftCluster(is_started=False)
    cluster.voters = (1, 2, 3)
    wal = RaftWal.open(tmp_path)
    voter = Member(cluster, 1)
    voter.groups[GROUP_ID] = opened(voter, GroupImage())
    wal.append_turn(voter.batch)
    voter.batch.clear()
    start = wal.size_bytes
    voter.group.receive(2, (GROUP_ID, 2, 5, 9, 9, False))
    assert [message[1] for _, message in voter.outbox] == [3]
    wal.append_turn(voter.batch)
    end = wal.size_bytes
    wal.close()
    content = wal.path.read_bytes()
    for size in range(start, end + 1):
        wal.path.write_bytes(content[:size])
        log = RaftWal.open(tmp_path)
        again = Member(cluster, 1)
        again.groups[GROUP_ID] = opened(again, log.replay()[GROUP_ID])
        log.close()
        again.group.receive(3, (GROUP_ID, 2, 5, 9, 9, False))
        has_voted = 3 in [message[1] for _, message in again.outbox]
        assert has_voted == (size < end), size


def opened(member: Member, image: GroupImage) -> RaftGroup:
    return RaftGroup(
        GROUP_ID,
        broker_id=1,
        voters=(1, 2, 3),
        machine=ListMachine(),
        image=image,
        environment=member,
    )


def test_a_failed_sync_is_told_once_and_final(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal = RaftWal.open(tmp_path)
    told: list[str] = []
    wal.on_failure = told.append

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(KafkaStorageError):
            wal.append_turn([vote(1, 1)])
    with pytest.raises(KafkaStorageError):
        wal.append_turn([vote(1, 1)])
    assert len(told) == 1
    assert "restart the broker" in told[0]


def test_a_turn_on_a_full_disk_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal = RaftWal.open(tmp_path)
    turn = [WalRecord(SNAPSHOT, "g", 1, 0, bytes(200_000)), vote(1, 1)]

    def full(_fd: int, _offset: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(KafkaStorageError) as refusal:
            wal.append_turn(turn)
    assert refusal.value.is_passing
    wal.append_turn(turn)
    assert reopen(wal).replay()["g"].voted_for == 1


def test_two_threads_share_the_log(tmp_path: Path) -> None:
    """The loop thread appends entries while the raft thread appends turns; checkpoints between."""
    wal = RaftWal.open(tmp_path, checkpoint_bytes=2048)
    counts = {"solo": 0, "shared": 0}
    for name in counts:
        wal.attach_group(name, lambda name=name: GroupImage(counts[name], 1, b"%d" % counts[name]))

    def work(name: str) -> None:
        for index in range(1, 151):
            with wal.lock:
                if name == "solo":
                    wal.append_entries([(name, index, 1, b"x" * 20)])
                    counts[name] = index
                else:
                    counts[name] = index
                    wal.append_turn([WalRecord(ENTRY, name, index, 1, b"x" * 20)])

    threads = [threading.Thread(target=work, args=(name,)) for name in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    images = reopen(wal).replay()
    assert {name: image.last_index for name, image in images.items()} == {
        "solo": 150,
        "shared": 150,
    }

"""The write-ahead log: nothing that was synced is lost, nothing damaged is believed."""

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import KafkaStorageError, LogClosedError
from headrace.raft.errors import RaftWalCorruptedError
from headrace.raft.raft_wal import GroupImage, RaftWal

HEAD_BYTES = 8


def entries_of(wal: RaftWal, group_id: str) -> list[tuple[int, int, bytes]]:
    return list(wal.replay().get(group_id, GroupImage()).entries)


def reopen(wal: RaftWal) -> RaftWal:
    wal.close()
    return RaftWal.open(wal.folder)


def written_log(folder: Path, batches: int) -> tuple[Path, list[int]]:
    """A log of some batches without its reserved tail, and where each batch ends."""
    wal = RaftWal.open(folder)
    ends = [wal.size_bytes]
    for index in range(1, batches + 1):
        wal.append_entries([("g", index, 1, b"payload-%d" % index), ("h", index, 1, b"x" * index)])
        ends.append(wal.size_bytes)
    wal.close()
    os.truncate(wal.path, ends[-1])
    return wal.path, ends


def test_an_empty_folder_becomes_an_empty_log(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path / "wal")
    assert wal.replay() == {}
    assert reopen(wal).replay() == {}


def test_appended_entries_are_there_after_reopening(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path)
    wal.append_entries([("a", 1, 1, b"one"), ("b", 1, 3, b"uno")])
    wal.append_entries([("a", 2, 2, b"")])
    again = reopen(wal)
    assert entries_of(again, "a") == [(1, 1, b"one"), (2, 2, b"")]
    assert entries_of(again, "b") == [(1, 3, b"uno")]
    assert again.truncated_bytes == 0
    again.append_entries([("a", 3, 2, b"three")])
    assert entries_of(reopen(again), "a")[-1] == (3, 2, b"three")


def test_an_entry_with_an_old_index_replaces_it_and_all_behind_it(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path)
    wal.append_entries([("a", 1, 1, b"1"), ("a", 2, 1, b"2"), ("a", 3, 1, b"3")])
    wal.append_entries([("a", 2, 2, b"two")])
    assert entries_of(reopen(wal), "a") == [(1, 1, b"1"), (2, 2, b"two")]


def test_a_gap_in_the_entries_of_a_group_is_refused(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path)
    wal.append_entries([("a", 1, 1, b"1"), ("a", 3, 1, b"3")])
    with pytest.raises(RaftWalCorruptedError, match="entry 3 does not follow entry 1"):
        reopen(wal)


def test_a_log_torn_at_every_byte_keeps_every_whole_batch(tmp_path: Path) -> None:
    path, ends = written_log(tmp_path, 5)
    content = path.read_bytes()
    for size in range(ends[0], len(content) + 1):
        path.write_bytes(content[:size])
        wal = RaftWal.open(tmp_path)
        whole = max(i for i, end in enumerate(ends) if end <= size)
        assert len(entries_of(wal, "g")) == len(entries_of(wal, "h")) == whole, size
        assert wal.truncated_bytes == len(content[ends[whole] : size].rstrip(b"\0")), size
        wal.append_entries([("g", whole + 1, 9, b"new")])
        assert entries_of(reopen(wal), "g")[-1] == (whole + 1, 9, b"new")


def test_a_log_torn_with_zeros_behind_keeps_every_whole_batch(tmp_path: Path) -> None:
    path, ends = written_log(tmp_path, 3)
    content = path.read_bytes()
    for size in range(ends[2], len(content)):
        path.write_bytes(content[:size] + bytes(300))
        wal = RaftWal.open(tmp_path)
        assert len(entries_of(wal, "g")) == 2, size
        wal.close()


def test_a_log_torn_inside_its_checkpoint_is_refused(tmp_path: Path) -> None:
    path, ends = written_log(tmp_path, 1)
    content = path.read_bytes()
    for size in range(ends[0]):
        path.write_bytes(content[:size])
        with pytest.raises(RaftWalCorruptedError):
            RaftWal.open(tmp_path)


def test_a_flipped_bit_before_the_last_batch_is_refused_and_in_it_cut_off(tmp_path: Path) -> None:
    path, ends = written_log(tmp_path, 3)
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        if position < ends[2]:
            with pytest.raises(RaftWalCorruptedError):
                RaftWal.open(tmp_path)
            assert path.read_bytes() == damaged
        else:
            wal = RaftWal.open(tmp_path)
            assert len(entries_of(wal, "g")) == 2
            assert wal.truncated_bytes > 0
            wal.close()


def test_a_checkpoint_keeps_attached_and_unattached_groups_and_drops_the_old_file(
    tmp_path: Path,
) -> None:
    wal = RaftWal.open(tmp_path)
    wal.append_entries([("a", 1, 1, b"1"), ("b", 1, 1, b"1"), ("b", 2, 1, b"2")])
    wal = reopen(wal)
    found = wal.attach_group("a", lambda: GroupImage(1, 1, b"state of a", [(2, 1, b"unapplied")]))
    assert found.last_index == 1
    wal.checkpoint()
    wal.append_entries([("a", 3, 1, b"3")])
    again = reopen(wal)
    assert len(list(tmp_path.iterdir())) == 1
    image = again.replay()["a"]
    assert (image.snapshot_index, image.snapshot) == (1, b"state of a")
    assert image.entries == [(2, 1, b"unapplied"), (3, 1, b"3")]
    assert entries_of(again, "b") == [(1, 1, b"1"), (2, 1, b"2")]


def test_the_log_checkpoints_itself_and_stays_small(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path, checkpoint_bytes=4096)
    last = 0
    wal.attach_group("a", lambda: GroupImage(last, 1, b"state %d" % last))
    for last in range(0, 500):
        wal.append_entries([("a", last + 1, 1, b"x" * 100)])
    last = 500
    assert wal.size_bytes < 3 * 4096
    image = reopen(wal).replay()["a"]
    assert image.last_index == 500
    assert image.snapshot == b"state %d" % image.snapshot_index


def test_a_forgotten_group_does_not_come_back(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path)
    wal.attach_group("a", GroupImage)
    wal.append_entries([("a", 1, 1, b"1"), ("b", 1, 1, b"1")])
    wal.forget_groups(["a"])
    again = reopen(wal)
    assert set(again.replay()) == {"b"}
    again.checkpoint()
    assert set(reopen(again).replay()) == {"b"}


def test_an_unfinished_checkpoint_file_is_ignored(tmp_path: Path) -> None:
    path, _ = written_log(tmp_path, 2)
    (tmp_path / "00000000000000000009.wal.tmp").write_bytes(b"half")
    wal = RaftWal.open(tmp_path)
    assert len(entries_of(wal, "g")) == 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "00000000000000000001.wal").write_bytes(b"HRWAL\0\0\x02 from the future")
    with pytest.raises(RaftWalCorruptedError, match="no write-ahead log of this version"):
        RaftWal.open(tmp_path)


def test_a_failed_sync_stops_the_log_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal = RaftWal.open(tmp_path)

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(KafkaStorageError):
            wal.append_entries([("a", 1, 1, b"1")])
    with pytest.raises(KafkaStorageError, match="restart the broker"):
        wal.append_entries([("a", 1, 1, b"1")])


def test_a_full_disk_is_refused_before_anything_is_written_and_may_recover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal = RaftWal.open(tmp_path)

    def full(_fd: int, _offset: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(KafkaStorageError, match="free some"):
            wal.append_entries([("a", 1, 1, bytes(100_000))])
    wal.append_entries([("a", 1, 1, b"1")])
    assert entries_of(reopen(wal), "a") == [(1, 1, b"1")]


def test_a_full_disk_keeps_room_for_what_was_reserved_and_for_deletions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal = RaftWal.open(tmp_path)
    wal.reserve_room(200_000)

    def full(_fd: int, _offset: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        for index in range(1, 191):
            wal.append_entries([("a", index, 1, bytes(1000))])
        with pytest.raises(KafkaStorageError, match="free some"):
            wal.append_entries([("a", 191, 1, bytes(80_000))])
        wal.append_entries([("a", 191, 1, bytes(60_000))])
        with pytest.raises(KafkaStorageError, match="free some"):
            wal.append_entries([("a", 192, 1, bytes(12_000))])
        wal.append_entries([("a", 192, 1, bytes(12_000))], makes_room=True)
        wal.forget_groups(["b"])
    assert len(entries_of(reopen(wal), "a")) == 192


def test_a_checkpoint_on_a_full_disk_goes_on_with_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal = RaftWal.open(tmp_path)
    wal.append_entries([("a", 1, 1, b"1")])

    def full(_fd: int, _content: bytes, _position: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        wal.checkpoint()
    wal.append_entries([("a", 2, 1, b"2")])
    assert entries_of(reopen(wal), "a") == [(1, 1, b"1"), (2, 1, b"2")]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("refusal", [errno.EMFILE, errno.ENOSPC])
@pytest.mark.parametrize("step", ["open", "rename", "fsync"])
def test_a_checkpoint_that_is_refused_at_any_step_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, refusal: int
) -> None:
    wal = RaftWal.open(tmp_path)
    wal.append_entries([("a", 1, 1, b"1")])
    wal.attach_group("a", lambda: GroupImage(entries=[(1, 1, b"1")]))
    descriptors = len(os.listdir("/proc/self/fd"))

    def refuse(*_arguments: object, **_options: object) -> int:
        raise OSError(refusal, os.strerror(refusal))

    with monkeypatch.context() as patched, contextlib.suppress(KafkaStorageError):
        patched.setattr(os, step, refuse)
        wal.checkpoint()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    kept = [(1, 1, b"1")]
    with contextlib.suppress(KafkaStorageError):  # it may be out of use: what it takes must last
        wal.append_entries([("a", 2, 1, b"2")])
        kept.append((2, 1, b"2"))
    assert entries_of(reopen(wal), "a") == kept


def test_a_checkpoint_waits_where_no_descriptor_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal = RaftWal.open(tmp_path)
    wal.append_entries([("a", 1, 1, b"1")])
    opened = os.open
    left = [1]

    def open_few(*arguments: Any, **options: Any) -> int:
        if not left[0]:
            raise OSError(errno.EMFILE, "Too many open files")
        left[0] -= 1
        return opened(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", open_few)
        wal.checkpoint()
    wal.append_entries([("a", 2, 1, b"2")])
    assert entries_of(reopen(wal), "a") == [(1, 1, b"1"), (2, 1, b"2")]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_closed_log_refuses_entries(tmp_path: Path) -> None:
    wal = RaftWal.open(tmp_path)
    wal.close()
    with pytest.raises(LogClosedError):
        wal.append_entries([("a", 1, 1, b"1")])


@settings(max_examples=60, deadline=None)
@given(
    turns=st.lists(
        st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=20)), max_size=4),
        max_size=12,
    ),
    actions=st.lists(st.sampled_from(["reopen", "checkpoint", "none"]), min_size=12, max_size=12),
)
def test_any_history_of_turns_reopenings_and_checkpoints_equals_a_plain_dict(
    tmp_path_factory: pytest.TempPathFactory,
    turns: list[list[tuple[str, bytes]]],
    actions: list[str],
) -> None:
    wal = RaftWal.open(tmp_path_factory.mktemp("wal"))
    model: dict[str, list[tuple[int, int, bytes]]] = {}

    def attach_all() -> None:
        for group_id in "abc":
            wal.attach_group(
                group_id, lambda group_id=group_id: GroupImage(entries=model.get(group_id, []))
            )

    attach_all()
    for turn, action in zip(turns, actions, strict=False):
        batch = []
        for group_id, payload in turn:
            log = model.setdefault(group_id, [])
            log.append((len(log) + 1, 1, payload))
            batch.append((group_id, *log[-1]))
        wal.append_entries(batch)
        if action == "checkpoint":
            wal.checkpoint()
        elif action == "reopen":
            wal = reopen(wal)
            assert {g: list(i.entries) for g, i in wal.replay().items() if i.entries} == model
            attach_all()
    wal.close()


def test_reserved_space_is_written_so_that_a_batch_changes_nothing_of_the_file_but_its_bytes(
    tmp_path: Path,
) -> None:
    wal = RaftWal.open(tmp_path)
    for size_bytes in (10, 100_000):
        wal.append_entries([("a", 1, 1, bytes(size_bytes))])
        with wal.path.open("rb") as file:
            os.fsync(file.fileno())
            end = os.fstat(file.fileno()).st_size
            assert end > wal.size_bytes
            # Space that is only reserved counts as a hole.
            assert os.lseek(file.fileno(), wal.size_bytes, os.SEEK_HOLE) == end
    wal.close()

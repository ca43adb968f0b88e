"""The write-ahead log that all Raft groups of a broker share: one file, one sync a batch.

A file `<20-digit sequence>.wal` in `__headrace_raft/` holds a checkpoint of every group and, behind
it, what was journaled since.  A checkpoint writes the next file whole, renames it into place and
removes the old one, so the newest file alone is the truth.  `wal_format.py` has the layout.

An entry whose index is not the next one replaces that entry and all behind it, as Raft asks. Space
is reserved ahead, so zeros behind the last batch are a reserved tail and a full disk is refused
before a byte is written: that may be tried again.  The zeros are written, too: a batch that takes
their place changes nothing of the file but its bytes, so that its sync need not wait for the file
system's journal, and for all that others have in it.

Durability: `append_entries` and `append_turn` return after fdatasync; if a write or a sync fails,
the log is out of use until the process restarts and `on_failure` is told.  A batch that was being
written when the machine stopped is cut off at the next start; a bad batch before a good one is
corruption.

Two threads share it: the loop thread journals what this broker decides alone, the raft thread a
batch a turn.  Whoever changes a group holds `lock` from before the change until the batch is
written, since a checkpoint asks every group for its image.
"""

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from ..core.errors import (
    PASSING_REFUSALS,
    InconsistentLogDirError,
    KafkaStorageError,
    LogClosedError,
)
from .errors import RaftWalCorruptedError
from .wal_format import (
    MAGIC,
    SUFFIX,
    WalRecord,
    WalRecordKind,
    encode_wal_batch,
    read_wal_file,
    wal_files,
)
from .wal_replay import GroupImage, records_of, replay_record

__all__ = ["WAL_FOLDER_NAME", "Entry", "GroupImage", "RaftWal", "TakeImage", "wal_folder_in"]

logger = logging.getLogger(__name__)

WAL_FOLDER_NAME = "__headrace_raft"
DEFAULT_CHECKPOINT_BYTES = 1024 * 1024
"""The log is checkpointed once it has grown by this and by as much as its last checkpoint."""

_RESERVE_BYTES = 64 * 1024
# Of the reservation, what only deletions may use: they are what makes room on a full disk.
_KEPT_BYTES = 16 * 1024

Entry = tuple[str, int, int, bytes]
"""(group_id, entry_index, term, payload)"""

TakeImage = Callable[[], GroupImage]
"""Gives a group's present image for a checkpoint."""


def wal_folder_in(
    log_dirs: Sequence[Path], *, offline: Collection[Path] = (), is_in_use: bool = False
) -> Path:
    """Where the write-ahead log of these folders lives: in the one that has it, else the first.

    `offline` are those that cannot be read.  Where it may be in one of them, because it would be
    made there or because this node is in use, nobody begins another one: KafkaStorageError.  Raises
    InconsistentLogDirError where two have one.
    """
    online = [path for path in log_dirs if path not in offline]
    found = [folder for path in online if (folder := path / WAL_FOLDER_NAME).is_dir()]
    if len(found) > 1:
        raise InconsistentLogDirError(
            f"{found[0]} and {found[1]} are both write-ahead logs; move the older one away"
        )
    if found:
        return found[0]
    for path in log_dirs:
        if path in offline and (is_in_use or path == log_dirs[0]):
            raise KafkaStorageError(
                path / WAL_FOLDER_NAME,
                "the folder is offline, and the cluster's decisions may be there; mend it, or put "
                "a folder that works first in log.dirs of a new broker",
            )
    return log_dirs[0] / WAL_FOLDER_NAME


class RaftWal:
    """The open write-ahead log of one broker.  Any thread may call it; see the module on `lock`.

    Each group is attached with a callable that gives its present image for the next checkpoint.
    """

    def __init__(self, folder: Path, *, checkpoint_bytes: int = DEFAULT_CHECKPOINT_BYTES) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.on_failure: Callable[[str], None] | None = None
        """Told once, under the lock, when a write or a sync failed: the broker must stop."""
        self.truncated_bytes = 0
        """Bytes of a torn tail that opening this log cut off."""
        self._checkpoint_bytes = checkpoint_bytes
        self._checkpoint_end = 0
        self._position = 0
        self._reserved_end = 0
        self._file_sequence = 0
        self._next_sequence = 0
        self._fd = -1
        self._failure = ""
        self._replayed: dict[str, GroupImage] = {}
        self._attached: dict[str, TakeImage] = {}
        try:
            if not folder.is_dir():
                folder.mkdir(parents=True)
                _sync_folder(folder.parent)
            self._open_newest()
        except OSError as error:
            raise KafkaStorageError(folder, f"cannot open the write-ahead log: {error}") from error

    @classmethod
    def open(cls, folder: Path, *, checkpoint_bytes: int = DEFAULT_CHECKPOINT_BYTES) -> "RaftWal":
        """The log in `folder`, made if absent; raises RaftWalCorruptedError, KafkaStorageError."""
        return cls(folder, checkpoint_bytes=checkpoint_bytes)

    @property
    def path(self) -> Path:
        """The file that is being written."""
        return self.folder / f"{self._file_sequence:020d}.wal"

    @property
    def size_bytes(self) -> int:
        return self._position

    # -- groups

    def replay(self) -> dict[str, GroupImage]:
        """Groups found on disk that nobody has attached yet, by group id."""
        with self.lock:
            return dict(self._replayed)

    def attach_group(self, group_id: str, take_image: TakeImage) -> GroupImage:
        """Hand over what the log holds of the group; from now on checkpoints ask `take_image`."""
        with self.lock:
            assert group_id not in self._attached, group_id
            self._attached[group_id] = take_image
            return self._replayed.pop(group_id, None) or GroupImage()

    def is_attached(self, group_id: str) -> bool:
        """Whether checkpoints ask somebody for this group's image."""
        with self.lock:
            return group_id in self._attached

    def begin_groups(self, images: Mapping[str, TakeImage]) -> None:
        """Attach new groups, and make what they begin with durable in one batch: all or none.

        Raises KafkaStorageError.  They are attached before the checkpoint that the batch may bring,
        which would leave them out else.
        """
        with self.lock:
            assert not self._attached.keys() & images.keys(), images.keys()
            taken = [(group_id, take_image()) for group_id, take_image in images.items()]
            records = [record for each in taken for record in records_of(*each)]
            self._write_batch(records, kept_bytes=_KEPT_BYTES)
            for group_id, take_image in images.items():
                self._replayed.pop(group_id, None)
                self._attached[group_id] = take_image
            self._checkpoint_if_due()

    def detach_group(self, group_id: str) -> None:
        """Keep the group's present image for checkpoints, and for whoever attaches it next."""
        with self.lock:
            take_image = self._attached.pop(group_id)
            self._replayed[group_id] = take_image()

    def forget_groups(self, group_ids: Iterable[str]) -> None:
        """Remove groups for good, in one batch; their ids must never be used again."""
        gone = list(group_ids)
        if not gone:
            return
        records = [WalRecord(WalRecordKind.FORGET, gid, 0, 0, b"") for gid in gone]
        with self.lock:
            self._write_batch(records, kept_bytes=0)
            for group_id in gone:
                self._replayed.pop(group_id, None)
                self._attached.pop(group_id, None)

    # -- writing

    def append_entries(self, entries: Sequence[Entry], *, makes_room: bool = False) -> None:
        """Make `entries` durable, all or none of them, in one write and one fdatasync.

        What `makes_room` may use the last of the reservation, so a full disk does not refuse it.
        """
        if not entries:
            return
        records = [WalRecord(WalRecordKind.ENTRY, *entry) for entry in entries]
        with self.lock:
            self._checkpoint_if_due()
            self._write_batch(records, kept_bytes=0 if makes_room else _KEPT_BYTES)

    def append_turn(self, records: Sequence[WalRecord]) -> None:
        """Make everything of one turn of the raft thread durable, or nothing of it.

        The groups have made the changes already, so a checkpoint comes behind the batch.
        """
        if not records:
            return
        with self.lock:
            self._write_batch(records, kept_bytes=_KEPT_BYTES)
            for record in records:
                if record.kind == WalRecordKind.FORGET:
                    self._replayed.pop(record.group_id, None)
                    self._attached.pop(record.group_id, None)
            self._checkpoint_if_due()

    def reserve_room(self, size_bytes: int) -> None:
        """See to it that a full disk does not refuse the next `size_bytes` of batches.

        Raises KafkaStorageError where there is no room for them now.
        """
        with self.lock:
            self._check_usable()
            self._checkpoint_if_due()
            self._reserve(self._position + size_bytes + _KEPT_BYTES)

    def checkpoint(self) -> None:
        """Write every group's present image to a new file and drop the old one.

        On a full disk the old file is kept and written on.
        """
        with self.lock:
            self._check_usable()
            images = dict(self._replayed)
            for group_id, take_image in self._attached.items():
                images[group_id] = take_image()
            try:
                self._start_file(images)
            except OSError as error:
                if error.errno not in PASSING_REFUSALS:
                    raise self._failed(error) from error
                logger.warning(
                    "%s: no checkpoint (%s); going on with the old one", self.path, error
                )

    def close(self) -> None:
        """Close the file; everything appended is durable already."""
        with self.lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _checkpoint_if_due(self) -> None:
        grown_bytes = self._position - self._checkpoint_end
        if grown_bytes >= max(self._checkpoint_bytes, self._checkpoint_end):
            self.checkpoint()

    def _write_batch(self, records: Sequence[WalRecord], *, kept_bytes: int) -> None:
        self._check_usable()
        batch = encode_wal_batch(self._next_sequence, records)
        self._reserve(self._position + len(batch) + kept_bytes)
        try:
            _write_fully(self._fd, batch, self._position)
        except OSError as error:
            # Where a disk copies on write, reserved space may be refused too; the next batch
            # begins at the same place.
            raise self._refused(error) from error
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise self._failed(error) from error
        self._position += len(batch)
        self._next_sequence += 1

    def _reserve(self, end: int) -> None:
        if end <= self._reserved_end:
            return
        wanted_end = end + _RESERVE_BYTES
        try:
            _write_zeros(self._fd, self._reserved_end, wanted_end)
        except OSError as error:
            raise self._refused(error) from error
        self._reserved_end = wanted_end

    def _check_usable(self) -> None:
        if self._failure:
            raise KafkaStorageError(self.folder, self._failure)
        if self._fd < 0:
            raise LogClosedError(f"the write-ahead log in {self.folder} is closed")

    def _refused(self, error: OSError) -> KafkaStorageError:
        """What to raise where nothing was written: a full disk may be tried again."""
        if error.errno not in PASSING_REFUSALS:
            return self._failed(error)
        return KafkaStorageError(
            self.folder, f"no space for the write-ahead log ({error}); free some"
        )

    def _failed(self, error: OSError) -> KafkaStorageError:
        self._failure = f"the write-ahead log cannot be written ({error}); restart the broker"
        logger.error("%s: %s", self.folder, self._failure)
        if self.on_failure is not None:
            self.on_failure(self._failure)
        return KafkaStorageError(self.folder, self._failure)

    def _start_file(self, images: dict[str, GroupImage]) -> None:
        """Make the next file with `images` as its checkpoint, durable before the old one goes.

        Raises OSError where the old file is still the newest, KafkaStorageError where nobody knows.
        """
        sequence = self._next_sequence
        path = self.folder / f"{sequence:020d}.wal"
        records = [record for gid, image in images.items() for record in records_of(gid, image)]
        content = MAGIC + encode_wal_batch(sequence, records)
        room = max(_RESERVE_BYTES, self._reserved_end - self._position)
        # Before the new file counts: it must not take that place and then find no descriptor left.
        folder_fd = _open_folder(self.folder)
        try:
            fd = _make_file(path, content, room)
            self.close()
            self._fd = fd
            self._file_sequence = sequence
            self._position = self._checkpoint_end = len(content)
            self._reserved_end = len(content) + room
            self._next_sequence = sequence + 1
            try:
                os.fsync(folder_fd)
            except OSError as error:
                raise self._failed(error) from error
        finally:
            os.close(folder_fd)
        self._remove_other_files()

    def _remove_other_files(self) -> None:
        for path in self.folder.iterdir():
            if SUFFIX in path.suffixes and path != self.path:
                path.unlink()

    # -- reading

    def _open_newest(self) -> None:
        files = wal_files(self.folder)
        if not files:
            self._start_file({})
            return
        content = read_wal_file(files[-1])
        for batch in content.batches:
            for record in batch.records:
                try:
                    replay_record(self._replayed, record)
                except ValueError as error:
                    raise RaftWalCorruptedError(content.path, batch.position, str(error)) from error
        self._file_sequence = content.batches[0].sequence
        self._next_sequence = content.batches[-1].sequence + 1
        self._checkpoint_end = content.checkpoint_end
        self._position = content.end_position
        self._reserved_end = content.end_position + len(content.tail)
        self._fd = os.open(content.path, os.O_RDWR | os.O_CLOEXEC)
        if content.torn_bytes:
            self._cut_tail(content.torn_bytes)
        self._remove_other_files()

    def _cut_tail(self, torn_bytes: int) -> None:
        self.truncated_bytes = torn_bytes
        self._reserved_end = self._position
        os.ftruncate(self._fd, self._position)
        os.fsync(self._fd)
        logger.warning(
            "%s: cut off %d bytes of a batch that was being written when the broker stopped",
            self.path,
            torn_bytes,
        )


def _write_zeros(fd: int, start: int, end: int) -> None:
    """Extend the file with zeros; on a full disk with none at all."""
    os.posix_fallocate(fd, start, end - start)
    _write_fully(fd, bytes(end - start), start)


def _write_fully(fd: int, content: bytes, position: int) -> None:
    remaining = memoryview(content)
    while remaining:
        written = os.pwrite(fd, remaining, position)
        remaining = remaining[written:]
        position += written


def _make_file(path: Path, content: bytes, room: int) -> int:
    """The descriptor of a new file at `path`, synced, with zeros behind its content.

    Raises OSError, and then there is no such file.
    """
    unfinished = path.with_suffix(".wal.tmp")
    fd = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        _write_fully(fd, content, 0)
        _write_zeros(fd, len(content), len(content) + room)
        os.fdatasync(fd)
        os.rename(unfinished, path)
    except OSError:
        os.close(fd)
        unfinished.unlink()
        raise
    return fd


def _sync_folder(folder: Path) -> None:
    fd = _open_folder(folder)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _open_folder(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

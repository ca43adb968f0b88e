"""One of the `log.dirs`: who uses it, whose it is, how it was left, what its checkpoints say.

    .lock                              held while in use; holds the user's process id in digits
    meta.properties                    version=1, cluster.id, node.id, directory.id
    .kafka_cleanshutdown               there only between a clean stop and the next start
    recovery-point-offset-checkpoint   per partition: what lies below is on disk for certain
    log-start-offset-checkpoint        per partition whose start is not its first segment's
    replication-offset-checkpoint      per partition: its high watermark
    cleaner-offset-checkpoint          per compacted partition: where its uncompacted part begins
    <topic>-<partition>/               a log
    <topic>-<partition>.<hex>-delete/  what is left of a deleted one
    <topic>-<partition>.<hex>-future/  a log on its way here from another folder (future_logs.py)

All names and formats are Kafka's.
"""

import errno
import fcntl
import logging
import os
import re
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .checkpoint_file import (
    HIGH_WATERMARK_NAME,
    LOG_START_OFFSET_NAME,
    META_PROPERTIES_NAME,
    RECOVERY_POINT_NAME,
    CheckpointFormatError,
    PropertiesFile,
    TopicPartition,
    read_offset_checkpoint,
    replace_file,
    sync_folder,
    write_offset_checkpoint,
)
from .errors import PASSING_REFUSALS, InconsistentLogDirError, LogDirLockedError

LOCK_NAME = ".lock"
CLEAN_SHUTDOWN_NAME = ".kafka_cleanshutdown"
CLEANER_OFFSET_NAME = "cleaner-offset-checkpoint"
DELETED_SUFFIX = "-delete"
FUTURE_SUFFIX = "-future"
STRAY_SUFFIX = "-stray"

_log = logging.getLogger(__name__)
_FOLDER_NAME = re.compile(r"([a-zA-Z0-9._-]+)-(0|[1-9][0-9]{0,9})")
_FUTURE_NAME = re.compile(_FOLDER_NAME.pattern + r"\.[0-9a-f]{32}-future")
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of Linux: type, whence, start, len, pid
_CLEAN_SHUTDOWN_CONTENT = b'{"version":0,"brokerEpoch":-1}'
ONLY_FORMATTED = "headrace.only.formatted"  # in meta.properties
# Kafka keeps its own metadata in a folder that looks like a partition's.
_NOT_OURS = frozenset((("__cluster_metadata", 0),))


@dataclass(frozen=True, slots=True)
class MetaProperties:
    """What ties a folder to its cluster and node; `directory_id` is empty in Kafka's old files.

    `is_only_formatted`: it was made for a broker that has not been a member of the cluster yet.
    """

    cluster_id: str
    node_id: int
    directory_id: str = ""
    is_only_formatted: bool = False

    def write(self, folder: Path) -> None:
        """Tie the folder to the cluster and the node."""
        values = {
            "version": "1",
            "cluster.id": self.cluster_id,
            "node.id": str(self.node_id),
            "directory.id": self.directory_id,
        }
        if self.is_only_formatted:
            values[ONLY_FORMATTED] = "true"
        PropertiesFile(folder / META_PROPERTIES_NAME).write(values)


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """What the checkpoint files of one folder said at the start.

    `cleaner_offsets` None: the file is missing or damaged, so nobody knows which logs have gaps.
    """

    recovery_points: Mapping[TopicPartition, int]
    log_start_offsets: Mapping[TopicPartition, int]
    high_watermarks: Mapping[TopicPartition, int]
    cleaner_offsets: Mapping[TopicPartition, int] | None

    def may_have_gaps(self, key: TopicPartition) -> bool:
        """Whether offsets may be missing from the log because it was compacted."""
        return self.cleaner_offsets is None or key in self.cleaner_offsets


class LogDir:
    """One folder of `log.dirs`, locked from `lock` to `unlock`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.directory_id = ""
        self.was_clean = False
        self.failure: OSError | None = None
        # Moves on wherever checkpoints that were gathered before must not be written any more.
        self.generation = 0
        self._lock_descriptor = -1
        self._write_lock = threading.Lock()
        self._written: dict[str, dict[TopicPartition, int]] = {}

    @property
    def is_offline(self) -> bool:
        """Whether the disk failed here; it stays so until the next start."""
        return self.failure is not None

    def lock(self) -> None:
        """Create the folder and take its lock; raises LogDirLockedError and OSError."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock_path = self.path / LOCK_NAME
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _take_lock(descriptor, self.path)
            _write_pid(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._lock_descriptor = descriptor

    def unlock(self) -> None:
        """Give the lock back; idempotent."""
        if self._lock_descriptor >= 0:
            os.close(self._lock_descriptor)
            self._lock_descriptor = -1

    def is_in_place(self) -> bool:
        """Whether the folder is still the one that was locked."""
        try:
            self.check_in_place()
        except OSError:
            return False
        return True

    def check_in_place(self) -> None:
        """Raise OSError where somebody has removed or replaced the folder under us."""
        held = os.fstat(self._lock_descriptor)
        found = os.stat(self.path / LOCK_NAME)
        if not os.path.samestat(held, found):
            raise OSError(errno.ESTALE, "the folder was replaced by another one", str(self.path))

    def read_meta(self) -> MetaProperties | None:
        """What meta.properties says; None where there is none.  Raises InconsistentLogDirError."""
        properties = PropertiesFile(self.path / META_PROPERTIES_NAME)
        try:
            values = properties.read()
        except CheckpointFormatError as error:
            raise InconsistentLogDirError(str(error)) from error
        if values is None:
            return None
        version = values.get("version", "")
        node_text = values.get("node.id", values.get("broker.id", ""))
        if version not in ("0", "1") or not node_text.isdecimal() or "cluster.id" not in values:
            raise InconsistentLogDirError(
                f"{properties.path} needs version=1, cluster.id and node.id; it has {values}"
            )
        return MetaProperties(
            values["cluster.id"],
            int(node_text),
            values.get("directory.id", ""),
            values.get(ONLY_FORMATTED) == "true",
        )

    def write_meta(self, meta: MetaProperties) -> None:
        """Tie the folder to a cluster and a node."""
        meta.write(self.path)

    def take_clean_marker(self) -> bool:
        """Whether the last stop was clean; the marker is gone afterwards, so a crash shows."""
        try:
            os.unlink(self.path / CLEAN_SHUTDOWN_NAME)
        except FileNotFoundError:
            self.was_clean = False
        else:
            sync_folder(self.path)
            self.was_clean = True
        return self.was_clean

    def leave_clean_marker(self) -> None:
        """Say that every log here was flushed and closed."""
        replace_file(self.path / CLEAN_SHUTDOWN_NAME, _CLEAN_SHUTDOWN_CONTENT)

    def read_checkpoints(self) -> Checkpoints:
        """All four; a damaged one counts as empty, which costs a longer recovery, and is logged."""
        has_cleaner_offsets = (self.path / CLEANER_OFFSET_NAME).exists()
        return Checkpoints(
            self._read_checkpoint(RECOVERY_POINT_NAME) or {},
            self._read_checkpoint(LOG_START_OFFSET_NAME) or {},
            self._read_checkpoint(HIGH_WATERMARK_NAME) or {},
            self._read_checkpoint(CLEANER_OFFSET_NAME) if has_cleaner_offsets else None,
        )

    def write_checkpoint(
        self, name: str, offsets: dict[TopicPartition, int], *, generation: int
    ) -> bool:
        """Replace one checkpoint, on any thread.

        False where nothing was written: nothing changed, or `offsets` were gathered in an older
        `generation` and may name a partition that was deleted and made anew since.
        """
        with self._write_lock:
            if generation != self.generation or self._written.get(name) == offsets:
                return False
            write_offset_checkpoint(self.path / name, offsets)
            self._written[name] = offsets
            return True

    def forget_partition(self, key: TopicPartition) -> None:
        """Take a deleted partition out of every checkpoint, before its name is used again.

        Else a crash would leave the new log with the recovery point of the old one.
        """
        with self._write_lock:
            stale = [name for name, offsets in self._written.items() if key in offsets]
            if not stale:
                return
            self.generation += 1
            for name in stale:
                kept = {k: v for k, v in self._written[name].items() if k != key}
                write_offset_checkpoint(self.path / name, kept)
                self._written[name] = kept

    def retire_checkpoints(self) -> None:
        """Let no checkpoint gathered so far, and perhaps waiting on the worker, be written."""
        with self._write_lock:
            self.generation += 1

    def written_offset(self, name: str, key: TopicPartition) -> int:
        """What a checkpoint says of a partition; -1 where it says nothing."""
        return self._written.get(name, {}).get(key, -1)

    def checkpointed_partitions(self) -> set[TopicPartition]:
        """Whose logs were here when the checkpoints were written."""
        return {
            key
            for name in (RECOVERY_POINT_NAME, HIGH_WATERMARK_NAME)
            for key in self._written.get(name, ())
            if key not in _NOT_OURS
        }

    def partition_folders(self) -> list[tuple[TopicPartition, Path]]:
        """The folders of logs, by name; what else lies here is left alone."""
        return self._folders_called(_FOLDER_NAME)

    def future_folders(self) -> list[tuple[TopicPartition, Path]]:
        """The folders of logs on their way here."""
        return self._folders_called(_FUTURE_NAME)

    def _folders_called(self, pattern: re.Pattern[str]) -> list[tuple[TopicPartition, Path]]:
        found = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                match = pattern.fullmatch(entry.name)
                if match is None or not entry.is_dir():
                    continue
                key = (match[1], int(match[2]))
                if key not in _NOT_OURS:
                    found.append((key, Path(entry.path)))
        return sorted(found)

    def deleted_folders(self) -> list[Path]:
        """The folders of deleted logs that are still there."""
        with os.scandir(self.path) as entries:
            return sorted(
                Path(entry.path)
                for entry in entries
                if entry.name.endswith(DELETED_SUFFIX) and entry.is_dir()
            )

    def _read_checkpoint(self, name: str) -> dict[TopicPartition, int] | None:
        """What it says; nothing where there is none; None where it is damaged."""
        try:
            offsets = read_offset_checkpoint(self.path / name)
        except CheckpointFormatError as error:
            _log.warning("%s; taken as empty, the logs are scanned instead", error)
            return None
        self._written[name] = offsets
        return dict(offsets)


def parse_folder_name(name: str) -> TopicPartition | None:
    """(topic, partition) of a log's folder; None for any other name."""
    match = _FOLDER_NAME.fullmatch(name)
    if match is None:
        return None
    return match[1], int(match[2])


def deleted_folder_name(name: str, unique: bytes) -> str:
    """What the folder `name` is called from its deletion on, cut to what file systems take."""
    return f"{name[: 255 - 1 - 32 - len(DELETED_SUFFIX)]}.{unique.hex()}{DELETED_SUFFIX}"


def stray_folder_name(name: str, unique: bytes) -> str:
    """What the folder `name` is called once it is of no topic that there is, cut as above."""
    return f"{name[: 255 - 1 - 32 - len(STRAY_SUFFIX)]}.{unique.hex()}{STRAY_SUFFIX}"


def future_folder_name(key: TopicPartition, unique: bytes) -> str:
    """What the folder of a log is called while it is on its way; never cut short."""
    return f"{key[0]}-{key[1]}.{unique.hex()}{FUTURE_SUFFIX}"


def _take_lock(descriptor: int, folder: Path) -> None:
    """Lock the whole file in the way Java's FileLock sees, also from within this process.

    An open-file-description lock belongs to the descriptor, so a second store in one process is
    refused too, and closing another descriptor of the file does not drop it.
    """
    wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except (BlockingIOError, PermissionError) as error:
        raise LogDirLockedError(folder, _holder_pid(descriptor, wanted)) from error


def find_lock_holder(folder: Path) -> int | None:
    """The id of the process that holds the folder; 0 if it cannot be told, None if nobody does."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # never locked, or not ours to open
        return None
    try:
        wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, wanted)
        assert isinstance(answer, bytes), answer
        is_free = _FLOCK.unpack(answer)[0] == fcntl.F_UNLCK
        return None if is_free else _holder_pid(descriptor, wanted)
    finally:
        os.close(descriptor)


def _write_pid(descriptor: int) -> None:
    content = f"{os.getpid()}\n".encode("ascii")
    try:
        os.pwrite(descriptor, content, 0)
    except OSError as error:
        if error.errno not in PASSING_REFUSALS:
            raise
        content = b""  # a full disk: the lock is held all the same, only nobody is told by whom
    os.ftruncate(descriptor, len(content))


def _holder_pid(descriptor: int, wanted: bytes) -> int:
    """Who holds the lock: what the kernel knows (a JVM's kind of lock), else what the file says."""
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, wanted)
    assert isinstance(answer, bytes), answer
    pid: int = _FLOCK.unpack(answer)[4]
    if pid > 0:
        return pid
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else 0

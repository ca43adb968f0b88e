"""All `log.dirs` of one node: which of them work, and what a failure means for one."""

import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from .checkpoint_file import (
    PARTITION_METADATA_NAME,
    CheckpointFormatError,
    TopicPartition,
    read_partition_metadata,
)
from .clock import Clock
from .errors import (
    PASSING_REFUSALS,
    InconsistentLogDirError,
    KafkaStorageError,
    LogDirNotFoundError,
)
from .kafka_uuid import ZERO_UUID
from .log_dir import LogDir, stray_folder_name

_log = logging.getLogger(__name__)

# What is said of a log whose folder or file somebody has removed.
_FILE_GONE = frozenset((errno.ENOENT, errno.ESTALE))


class LogDirs:
    """The folders in the order of the setting.

    `on_offline` is told of one whose disk failed, `on_log_offline` of a log's folder where that log
    alone did.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        on_offline: Callable[[LogDir], None],
        on_log_offline: Callable[[Path], None],
    ) -> None:
        if not paths:
            raise InconsistentLogDirError("log.dirs names no folder; name at least one")
        self._dirs = [LogDir(path.absolute()) for path in dict.fromkeys(paths)]
        self._on_offline = on_offline
        self._on_log_offline = on_log_offline

    def __iter__(self) -> Iterator[LogDir]:
        return iter(self._dirs)

    def online(self) -> list[LogDir]:
        """Those that work; raises KafkaStorageError where none does."""
        online = [log_dir for log_dir in self._dirs if not log_dir.is_offline]
        if not online:
            failed = self._dirs[0]
            raise KafkaStorageError(failed.path, f"no folder of log.dirs works: {failed.failure}")
        return online

    def at(self, path: str) -> LogDir:
        """The folder at an absolute path; raises LogDirNotFoundError."""
        for log_dir in self._dirs:
            if str(log_dir.path) == path:
                return log_dir
        raise LogDirNotFoundError(f"log.dirs does not name {path}")

    def check_online(self, log_dir: LogDir) -> None:
        """Raise KafkaStorageError where it is offline."""
        if log_dir.is_offline:
            raise KafkaStorageError(log_dir.path, f"the folder is offline: {log_dir.failure}")

    def check_all_online(self, why: str) -> None:
        """Raise KafkaStorageError where one is offline, of which nobody knows what it has."""
        for log_dir in self._dirs:
            if log_dir.is_offline:
                raise KafkaStorageError(log_dir.path, f"the folder is offline, {why}")

    def set_strays_aside(self, clock: Clock) -> None:
        """Rename the older of two folders of one partition name with different topic ids.

        A topic was deleted and made anew while one of them was offline.  Nothing in it is lost.
        """
        found: dict[TopicPartition, Path] = {}
        for log_dir in self._dirs if len(self._dirs) > 1 else ():
            if not log_dir.is_offline:
                self.attempt(log_dir, partial(_find_strays, log_dir, found, clock))

    def check_in_place(self) -> None:
        """Take offline what was removed: what is appended there would be lost."""
        for log_dir in self._dirs:
            if not log_dir.is_offline:
                self.attempt(log_dir, log_dir.check_in_place)

    def attempt(self, log_dir: LogDir, action: Callable[[], None]) -> None:
        """Do it; a failing disk takes the folder offline."""
        try:
            action()
        except OSError as error:
            self.take_offline(log_dir, error)
        except KafkaStorageError as error:
            self.take_offline(log_dir, OSError(errno.EIO, str(error)))

    def storage_failed(self, log_dir: LogDir, path: Path, error: OSError) -> None:
        """Something below the folder could not be read or written."""
        if error.errno in PASSING_REFUSALS:
            _log.error("%s: %s; appends are refused until that is mended", path, error)
            return
        if error.errno in _FILE_GONE and path != log_dir.path and log_dir.is_in_place():
            _log.error("%s: %s; somebody has removed it, this log alone is offline", path, error)
            self._on_log_offline(log_dir.path / path.relative_to(log_dir.path).parts[0])
            return
        self.take_offline(log_dir, error)

    def worker_failed(self, log_dir: LogDir, error: BaseException) -> None:
        """A job of the worker on the folder itself failed."""
        if not isinstance(error, OSError):
            raise error
        self.storage_failed(log_dir, log_dir.path, error)

    def take_offline(self, log_dir: LogDir, error: OSError) -> None:
        """It serves no more until the next start."""
        if log_dir.is_offline:
            return
        log_dir.failure = error
        _log.error("%s goes offline until the next start: %s", log_dir.path, error)
        self._on_offline(log_dir)


def _find_strays(log_dir: LogDir, found: dict[TopicPartition, Path], clock: Clock) -> None:
    for key, folder in log_dir.partition_folders():
        other = found.setdefault(key, folder)
        if other is folder or not _are_of_different_topics(folder, other):
            continue
        older, newer = sorted((folder, other), key=_made_ns)
        found[key] = newer
        stray = older.with_name(stray_folder_name(older.name, clock.random_bytes(16)))
        older.rename(stray)
        _log.warning(
            "%s and %s are of different topics: the older one is %s now, and may be removed",
            older,
            newer,
            stray,
        )


def _are_of_different_topics(folder: Path, other: Path) -> bool:
    try:
        ids = {read_partition_metadata(each) for each in (folder, other)}
    except CheckpointFormatError:
        return False
    return len(ids) > 1 and ids.isdisjoint((None, ZERO_UUID))


def _made_ns(folder: Path) -> int:
    return (folder / PARTITION_METADATA_NAME).stat().st_mtime_ns

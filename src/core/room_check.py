"""`RoomCheck`: whether a disk has room for new logs, asked before a topic is decided on.

So a full disk leaves nothing half made.  The room is reserved and given back, which minds quotas
and file systems that copy on write, as their counts of free blocks do not.
"""

from pathlib import Path
from typing import Self

from .checkpoint_file import check_room
from .errors import KafkaStorageError
from .log_dir import LogDir
from .log_dirs import LogDirs

# What a new log takes at once: its folder, partition.metadata, and the first page of its files.
_NEW_LOG_BYTES = 16 * 1024


class RoomCheck:
    """`look`, then `settle`.

    To make and remove a file waits for its turn where the disk syncs what others wrote: for a third
    of a second on a busy one.  So `look` may run on any thread; the rest is for that of the logs.
    Raises KafkaStorageError where no folder works.
    """

    def __init__(self, dirs: LogDirs, log_count: int) -> None:
        self._dirs = dirs
        self._online = dirs.online()
        self._size_bytes = log_count * _NEW_LOG_BYTES
        self._failures: list[tuple[LogDir, OSError]] = []

    def look(self) -> Self:
        """Try one folder after the other."""
        for log_dir in self._online:
            try:
                check_room(log_dir.path, self._size_bytes)
            except OSError as error:
                self._failures.append((log_dir, error))
            else:
                break
        return self

    def settle(self) -> None:
        """Raise KafkaStorageError unless one has room; what failed otherwise goes offline."""
        for log_dir, error in self._failures:
            self._dirs.storage_failed(log_dir, log_dir.path, error)
        if len(self._failures) == len(self._online):
            log_dir, error = self._failures[-1]
            raise KafkaStorageError(Path(error.filename or log_dir.path), str(error))

"""Logs that stood here in an earlier life of the broker, and do not now, or not whole.

A folder that is gone, or a disk that was replaced, looks like a log that was never made.  Two
things tell: the checkpoints of a folder of log.dirs name a log (from its first moment on,
`LogCheckpoints.name_new_logs`) that has no folder, or a folder of
log.dirs is gone itself, whose directory.id the others remember:

    known-log-dirs   in each folder: directory.ids, all that this broker ever had, by comma

A log that ends before the high watermark of its checkpoint is not whole (`Log.promised_end`).  What
a checkpoint said of such a log is kept until somebody accepts the loss, so that a second restart
knows it as well.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from itertools import chain

from .checkpoint_file import CheckpointFormatError, PropertiesFile, TopicPartition
from .errors import LogLostError
from .log import Log
from .log_dir import LogDir
from .log_dirs import LogDirs

KNOWN_NAME = "known-log-dirs"
MAX_KNOWN = 1000

_log = logging.getLogger(__name__)


class MissingLogs:
    """See the module; the owner's thread only."""

    def __init__(self) -> None:
        self._dir_of: dict[TopicPartition, LogDir] = {}
        self._lost_ids: list[str] = []

    def look(self, log_dirs: LogDirs, present: Collection[TopicPartition]) -> None:
        """Once all logs are loaded: what should be here besides?"""
        online = log_dirs.online()
        for log_dir in online:
            for key in log_dir.checkpointed_partitions():
                if key not in present:
                    self._dir_of[key] = log_dir
        own_ids = [log_dir.directory_id for log_dir in online if log_dir.directory_id]
        found = {log_dir: _read_ids(log_dir) for log_dir in online}
        known = list(dict.fromkeys((*own_ids, *chain(*found.values()))))[:MAX_KNOWN]
        self._lost_ids = known[len(own_ids) :]
        for log_dir, ids in found.items():
            if len(known) > 1 and set(ids) != set(known):
                _remember(log_dirs, log_dir, known)

    def keys_in(self, log_dir: LogDir) -> Iterator[TopicPartition]:
        """The logs that a folder's checkpoints name and that are not there."""
        return (key for key, named_in in self._dir_of.items() if named_in is log_dir)

    def check_new(self, key: TopicPartition, *, accepts_loss: bool) -> None:
        """Raise LogLostError where a log that is not here stood here before, or only say so."""
        named_in = self._dir_of.get(key)
        if named_in is not None:
            reason = f"its folder is gone from {named_in.path}"
        elif self._lost_ids:
            reason = (
                "it is in no folder of log.dirs, and one that this broker had before is gone "
                f"(directory.id {', '.join(self._lost_ids)})"
            )
        else:
            return
        error = LogLostError(*key, reason)
        if not accepts_loss:
            raise error
        _log.error("%s: it begins empty", error)

    def forget(self, key: TopicPartition) -> None:
        """It is made anew, or deleted."""
        self._dir_of.pop(key, None)


def check_whole(log: Log) -> None:
    """Raise LogLostError where the log ends before what was committed in it."""
    if log.promised_end > log.log_end_offset:
        raise LogLostError(
            log.topic,
            log.partition,
            f"{log.path} ends at offset {log.log_end_offset}, and what is before "
            f"{log.promised_end} was committed",
        )


def _properties(log_dir: LogDir) -> PropertiesFile:
    return PropertiesFile(log_dir.path / KNOWN_NAME)


def _remember(log_dirs: LogDirs, log_dir: LogDir, ids: Sequence[str]) -> None:
    try:
        _properties(log_dir).write({"directory.ids": ",".join(ids)})
    except OSError as error:  # a full disk: the next start tries again
        log_dirs.storage_failed(log_dir, log_dir.path, error)


def _read_ids(log_dir: LogDir) -> list[str]:
    try:
        found = _properties(log_dir).read() or {}
    except CheckpointFormatError as error:
        _log.warning("%s; taken as empty", error)
        found = {}
    return [each for each in found.get("directory.ids", "").split(",") if each]

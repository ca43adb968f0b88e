"""Logs on their way from one folder of `log.dirs` to another, and the step that ends the way.

    A/clicks-0                       the current log
    B/clicks-0.<hex>-future          its copy, which somebody fills (`raft/log_dir_moves.py`)

Once both end at the same offset, on the owner's thread and before anything else is appended:

    1  B/clicks-0.<hex>-future gets a mark and the name B/clicks-0; appends go there

then on the worker, before any sync that somebody is answered for:

    2  the checkpoints of B are written, B/clicks-0 and its name are synced
    3  A/clicks-0 is renamed to -delete, that is synced, the mark goes

A start that finds both (a crash between 1 and 3) keeps the one that reaches further by (leader
epoch, log end): it has all that was acknowledged, since what is answered without a sync is in B
before the answer, and what is answered after one only once step 3 is done.  A start that finds only
the copy beside the current log goes on filling it.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from .checkpoint_file import TopicPartition, sync_folder, write_new_partition_metadata
from .clock import Clock
from .errors import HeadraceError, KafkaStorageError
from .folder_keeper import FolderKeeper
from .future_log import REPLACING_NAME, FutureLog
from .kafka_uuid import ZERO_UUID
from .log import Log
from .log_config import LogConfig
from .log_dir import LogDir, deleted_folder_name, future_folder_name
from .log_flusher import FlushPlan
from .log_opener import LogOpener
from .worker import Worker

_log = logging.getLogger(__name__)


class FutureLogs:
    """See the module; every method is the owner's thread's."""

    def __init__(
        self,
        clock: Clock,
        worker: Worker,
        folders: FolderKeeper,
        opener: LogOpener,
        on_storage_failure: Callable[[LogDir, Path, OSError], None],
    ) -> None:
        self._clock = clock
        self._worker = worker
        self._folders = folders
        self._opener = opener
        self._on_storage_failure = on_storage_failure
        self._logs: dict[TopicPartition, tuple[FutureLog, LogDir]] = {}
        self._replaced: dict[TopicPartition, ReplacedLog] = {}

    def get(self, key: TopicPartition) -> FutureLog | None:
        """The copy of this partition's log that is being filled."""
        found = self._logs.get(key)
        return None if found is None else found[0]

    def dir_of(self, key: TopicPartition) -> LogDir | None:
        """The folder of log.dirs that the partition is on its way to."""
        found = self._logs.get(key)
        return None if found is None else found[1]

    def logs_in(self, log_dir: LogDir) -> Iterator[FutureLog]:
        """The copies in one folder of log.dirs."""
        return (log for log, home in self._logs.values() if home is log_dir)

    def all(self) -> list[tuple[FutureLog, Path]]:
        """Every copy and the folder of log.dirs that it is in."""
        return [(log, log_dir.path) for log, log_dir in self._logs.values()]

    # -- a copy's life

    def create(self, log_dir: LogDir, current: Log) -> FutureLog:
        """Begin an empty copy of `current`; raises OSError and KafkaStorageError."""
        key = (current.topic, current.partition)
        assert key not in self._logs, key
        folder = log_dir.path / future_folder_name(key, self._clock.random_bytes(16))
        log_dir.forget_partition(key)
        folder.mkdir()
        try:
            if current.topic_id != ZERO_UUID:
                write_new_partition_metadata(folder, current.topic_id)
            log = self._opener.open_log(FutureLog, key, folder, current.config, None, is_clean=True)
        except (OSError, HeadraceError):
            self._folders.remove(folder)
            raise
        self._adopt(log_dir, log)
        return log

    def load(
        self,
        log_dir: LogDir,
        current_dirs: Mapping[TopicPartition, LogDir],
        current_logs: Mapping[TopicPartition, Log],
        default_config: LogConfig,
    ) -> None:
        """Open the copies that a stop left in a folder; one that cannot be opened is dropped.

        `default_config` is for copies of logs that are offline.  No clean stop vouches for a copy:
        it may have been left alone by the start before.
        """
        checkpoints = log_dir.read_checkpoints()
        for key, folder in log_dir.future_folders():
            home = current_dirs.get(key)
            if home is None:
                _log.warning("%s is left alone: what it is a copy of is in no folder here", folder)
                continue
            if home is log_dir or key in self._logs:
                _log.warning("%s is dropped: it leads nowhere", folder)
                self._remove(folder)
                continue
            config = current_logs[key].config if key in current_logs else default_config
            try:
                log = self._opener.open_log(
                    FutureLog, key, folder, config, checkpoints, is_clean=False
                )
            except HeadraceError as error:
                _log.warning("%s is dropped, the copy is to begin anew: %s", folder, error)
                self._remove(folder)
                continue
            self._adopt(log_dir, log)

    def forget_marks(self, logs: Iterable[Log]) -> None:
        """No log is in two folders: a mark that is left was to go in the last step."""
        for log in logs:
            if is_replacing(log.path):
                (log.path / REPLACING_NAME).unlink()

    def drop(self, key: TopicPartition) -> None:
        """The partition stays where it is, or is deleted: give the copy up."""
        found = self._logs.pop(key, None)
        if found is None:
            return
        log, log_dir = found
        log.close(clean=False)
        if not log_dir.is_offline:
            self._remove(log.path)

    def forget_dir(self, log_dir: LogDir) -> None:
        """The folder failed: its copies stay as they are until the next start."""
        for key in [key for key, found in self._logs.items() if found[1] is log_dir]:
            self._logs.pop(key)[0].close(clean=False)

    # -- the end of the way

    def replace(
        self, key: TopicPartition, current: Log, write_checkpoints: Callable[[], None]
    ) -> tuple[FutureLog, LogDir]:
        """Put the copy in the place of `current`; gives it and where it is.

        Raises KafkaStorageError, and `current` goes on.  `write_checkpoints` is to hand the
        worker what it has to write before the old log goes.
        """
        log, log_dir = self._logs[key]
        waiters = log.take_place_of(current)
        del self._logs[key]
        replaced = ReplacedLog(current.path, log.path, self._clock.random_bytes(16))
        self._replaced[key] = replaced
        delay_ms = log.config.file_delete_delay_ms
        write_checkpoints()
        self._settle(key, log, replaced, delay_ms)
        for on_flushed, on_error in waiters:
            log.flush_async(on_flushed, on_error)
        return log, log_dir

    def _settle(
        self, key: TopicPartition, log: FutureLog, replaced: "ReplacedLog", delay_ms: int
    ) -> None:
        """Steps 2 and 3 on the worker."""
        plan = log.plan_whole_flush()

        def done(end_offset: int) -> None:
            log.flushed(end_offset)
            self._replaced.pop(key, None)
            self._folders.remove_later(replaced.doomed, delay_ms)

        def failed(error: BaseException) -> None:
            # The old log keeps its name: of the two, the next start takes the one that is whole.
            self._replaced.pop(key, None)
            log.flush_failed(error)

        self._worker.submit(partial(replaced.finish, plan), done, failed)

    def finish_replacing(self, key: TopicPartition) -> None:
        """Have the name of the old log's folder free at once: the partition is deleted."""
        replaced = self._replaced.pop(key, None)
        if replaced is None:
            return
        try:
            replaced.retire()
        except OSError as error:
            _log.warning("%s could not be renamed: %s", replaced.path, error)

    def finish_all(self) -> None:
        """The logs were closed and synced: let no old one stay."""
        for key in list(self._replaced):
            self.finish_replacing(key)

    # -- details

    def _adopt(self, log_dir: LogDir, log: FutureLog) -> None:
        log.on_storage_failure = partial(self._on_storage_failure, log_dir)
        self._logs[log.key] = (log, log_dir)

    def _remove(self, folder: Path) -> None:
        """Rename the folder so that no start takes it for a copy, and remove it."""
        stem = folder.name.rsplit(".", 1)[0]
        doomed = folder.with_name(deleted_folder_name(stem, self._clock.random_bytes(16)))
        try:
            folder.rename(doomed)
        except OSError as error:
            _log.warning("%s could not be removed: %s; the next start tries again", folder, error)
            return
        self._folders.remove(doomed)


class ReplacedLog:
    """The folder of a log that another one has taken the place of; for any thread."""

    def __init__(self, path: Path, successor: Path, unique: bytes) -> None:
        self.path = path
        self.doomed = path.with_name(deleted_folder_name(path.name, unique))
        self._successor = successor
        self._is_retired = False
        self._lock = threading.Lock()

    def finish(self, plan: FlushPlan) -> int:
        """Steps 2 and 3; up to where the successor is on disk."""
        end_offset = plan.run()
        sync_folder(self._successor.parent)
        self.retire()
        return end_offset

    def retire(self) -> None:
        """Step 3; once."""
        with self._lock:
            if self._is_retired:
                return
            self.path.rename(self.doomed)
            self._is_retired = True
        sync_folder(self.doomed.parent)
        (self._successor / REPLACING_NAME).unlink(missing_ok=True)


def is_replacing(folder: Path) -> bool:
    """Whether the log in this folder was to take the place of one with the same name elsewhere."""
    return (folder / REPLACING_NAME).exists()


def reaches_further(log: Log, other: Log) -> bool:
    """Whether `log` has what the other copy of it lacks."""
    return (log.latest_epoch, log.log_end_offset) > (other.latest_epoch, other.log_end_offset)


def give_up_copy(log: Log) -> None:
    """Take the folder of the copy that is not kept out of the way of later starts."""
    _log.warning("%s is dropped: a copy of it took its place before the last stop", log.path)
    try:
        log.rename_for_deletion()
    except KafkaStorageError as error:
        _log.error("%s could not be renamed: %s", log.path, error)

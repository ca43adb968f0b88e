"""All logs of this node's `log.dirs`: open, create, delete, checkpoint, keep house.

One thread, the loop thread, calls every method and owns every log; slow work goes to the worker.

A folder whose disk fails goes offline until the next start; the logs of the others go on.  A log
that is corrupt in its middle is offline alone.  After a clean stop nothing is scanned.
"""

import errno
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from .checkpoint_file import (
    HIGH_WATERMARK_NAME,
    LOG_START_OFFSET_NAME,
    RECOVERY_POINT_NAME,
    TopicPartition,
)
from .clock import Clock
from .errors import (
    CorruptIndexError,
    CorruptRecordError,
    HeadraceError,
    InconsistentLogDirError,
    KafkaStorageError,
    LogCorruptedError,
)
from .folder_keeper import FolderKeeper, remove_tree
from .future_log import FutureLog
from .future_logs import FutureLogs, give_up_copy, is_replacing, reaches_further
from .kafka_uuid import ZERO_UUID
from .log import Log
from .log_checkpoints import LogCheckpoints
from .log_cleaner import LogCleaner
from .log_config import LogConfig
from .log_dir import CLEANER_OFFSET_NAME, Checkpoints, LogDir, deleted_folder_name
from .log_dir_identity import agree_on_identity, agree_on_topic_id
from .log_dirs import LogDirs
from .log_manager_settings import LogManagerSettings
from .log_opener import LogOpener, try_close
from .log_retention import enforce_retention
from .missing_logs import MissingLogs, check_whole
from .new_metadata import NewMetadata
from .room_check import RoomCheck
from .worker import Worker

_log = logging.getLogger(__name__)

# Partitions that this node does not hold (yet), whose folder somebody has chosen.
MAX_PREFERRED_DIRS = 10_000
# What is wrong with one log alone, and is no failure of its disk.
_LOG_FAULTS = (LogCorruptedError, CorruptRecordError, CorruptIndexError, InconsistentLogDirError)


class LogManager:
    """The logs of one node.  `on_dir_offline` is told of a folder, or a log's, that failed."""

    def __init__(
        self,
        log_dirs: Sequence[Path],
        *,
        clock: Clock,
        worker: Worker,
        default_config: LogConfig | None = None,
        settings: LogManagerSettings | None = None,
        cluster_id: str | None = None,
        node_id: int = 1,
    ) -> None:
        self._dirs = LogDirs(log_dirs, self._dir_went_offline, self._tell_offline)
        self._clock = clock
        self._worker = worker
        self._default_config = default_config or LogConfig()
        self._settings = settings or LogManagerSettings()
        self._logs: dict[TopicPartition, Log] = {}
        self._dir_of: dict[TopicPartition, LogDir] = {}
        self._offline_logs: dict[TopicPartition, HeadraceError] = {}
        # How to open those offline logs that a full disk kept from being recovered.
        self._waiting: dict[TopicPartition, Callable[[], None]] = {}
        self._cleaner = LogCleaner(
            clock,
            worker,
            dedupe_buffer_bytes=self._settings.log_cleaner_dedupe_buffer_size,
            on_progress=self._checkpoint_cleaner_offsets,
            on_storage_failure=self._on_log_failure,
        )
        self._checkpoints = LogCheckpoints(
            worker,
            self._dirs,
            logs_in=self._logs_in,
            offline_in=self._offline_in,
            cleaner_offset_of=self._cleaner.offset_of,
            on_error=self._dirs.worker_failed,
        )
        self._folders = FolderKeeper(clock, worker, self._checkpoints.name_new_logs)
        self.creating_together = self._folders.together  # a block in which many logs are made
        expiration_ms = self._settings.producer_id_expiration_ms
        self._opener = LogOpener(clock, worker, expiration_ms, self._cleaner.has_offset_of)
        self.future_logs = FutureLogs(
            clock, worker, self._folders, self._opener, self._dirs.storage_failed
        )
        self._preferred_dirs: dict[TopicPartition, LogDir] = {}
        self._missing = MissingLogs()
        self._new_metadata = NewMetadata()
        self.cluster_id = cluster_id or ""
        self.node_id = node_id
        self.on_dir_offline: Callable[[Path], None] | None = None

    @property
    def log_dirs(self) -> list[Path]:
        """Every folder, the offline ones too."""
        return [log_dir.path for log_dir in self._dirs]

    @property
    def offline_dirs(self) -> list[Path]:
        """The folders whose disk failed."""
        return [log_dir.path for log_dir in self._dirs if log_dir.is_offline]

    @property
    def directory_ids(self) -> dict[Path, str]:
        """Each folder's directory.id."""
        return {log_dir.path: log_dir.directory_id for log_dir in self._dirs}

    @property
    def offline_logs(self) -> Mapping[TopicPartition, HeadraceError]:
        """The logs that could not be opened, with the reason."""
        return self._offline_logs

    @property
    def was_clean(self) -> bool:
        """Whether every folder was left by a clean stop; False on the very first start."""
        return all(log_dir.was_clean for log_dir in self._dirs)

    def start(self, config_of: Callable[[str], LogConfig] | None = None) -> None:
        """Lock the folders, check whose they are, open every log.

        `config_of` gives a topic's settings, where they are known yet.  Raises LogDirLockedError,
        InconsistentLogDirError, and KafkaStorageError where no folder is usable; nothing stays
        locked then.
        """
        choose_config = config_of or (lambda _topic: self._default_config)
        try:
            for log_dir in self._dirs:
                self._dirs.attempt(log_dir, log_dir.lock)
            self.adopt_cluster_id(self.cluster_id, may_wait=True)
            self._dirs.set_strays_aside(self._clock)
            for log_dir in self._dirs.online():
                # Of all folders first: a log that moved was perhaps compacted in another one.
                self._dirs.attempt(log_dir, partial(self._restore_cleaner_offsets, log_dir))
            for log_dir in self._dirs.online():
                self._dirs.attempt(log_dir, partial(self._load_dir, log_dir, choose_config))
            for log_dir in self._dirs.online():
                load = partial(
                    self.future_logs.load, log_dir, self._dir_of, self._logs, self._default_config
                )
                self._dirs.attempt(log_dir, load)
            self._missing.look(self._dirs, self._dir_of)
            if len(self._dirs.online()) == len(self.log_dirs) > 1:
                self.future_logs.forget_marks(self._logs.values())
            self._checkpoint_cleaner_offsets()
        except BaseException:
            self._abandon()
            raise

    def adopt_cluster_id(self, cluster_id: str, *, may_wait: bool = False) -> None:
        """Tie the folders to a cluster; "": to the one they name, else to a new one or none yet."""
        self.cluster_id = agree_on_identity(
            self._dirs.online(),
            cluster_id=cluster_id or None,
            node_id=self.node_id,
            clock=self._clock,
            waits=may_wait and self._settings.waits_for_cluster and not cluster_id,
        )

    def get_log(self, topic: str, partition: int) -> Log | None:
        """The open log; None where there is none, or it is offline."""
        return self._logs.get((topic, partition))

    def logs(self) -> list[Log]:
        """Every open log."""
        return list(self._logs.values())

    def log_dir_of(self, log: Log) -> Path:
        """The folder of `log.dirs` that holds it."""
        return self._dir_of[log.topic, log.partition].path

    def get_or_create_log(
        self,
        topic: str,
        partition: int,
        *,
        topic_id: bytes,
        config: LogConfig,
        is_new: bool = True,
        accepts_loss: bool = True,
        accepts_short: bool = True,
    ) -> Log:
        """The partition's log under `config`, made in the preferred folder or the one with the
        fewest where it is not there.

        Raises InconsistentLogDirError where the log on disk belongs to another topic of that name,
        KafkaStorageError where no folder is usable, or where one is offline and may hold the log
        (not `is_new`), LogLostError where it was here and is gone (not `accepts_loss`) or ends
        before what was committed (not `accepts_short`), and what kept it offline at the start.
        """
        key = (topic, partition)
        if key in self._waiting:
            self._dirs.check_online(self._dir_of[key])
            self._waiting[key]()
        if key in self._offline_logs:
            raise self._offline_logs[key]
        log = self._logs.get(key)
        if log is None:
            if not is_new:
                self._dirs.check_all_online(f"{topic}-{partition} may be there")
            if not (is_new and accepts_loss):
                self._missing.check_new(key, accepts_loss=accepts_loss)
            return self._create_log(key, topic_id, config)
        self._dirs.check_online(self._dir_of[key])
        if log.config != config:
            log.update_config(config)
        agree_on_topic_id(log, topic_id)
        if not accepts_short:
            check_whole(log)
        log.promised_end = 0
        return log

    def room_check(self, log_count: int) -> RoomCheck:
        """What finds out whether a disk has room for this many new logs."""
        return RoomCheck(self._dirs, log_count)

    def check_room(self, log_count: int) -> None:
        """Raise KafkaStorageError unless one has; here and now."""
        self.room_check(log_count).look().settle()

    def check_dirs(self) -> None:
        """Take folders offline that were removed: what is appended there would be lost."""
        self._dirs.check_in_place()

    def delete_log(self, topic: str, partition: int) -> bool:
        """Take the log out of use at once; its files go after file.delete.delay.ms.

        False where it may be left in a folder that is offline, to be deleted once that is back.
        """
        key = (topic, partition)
        self._missing.forget(key)
        self.future_logs.drop(key)
        self.future_logs.finish_replacing(key)
        self._preferred_dirs.pop(key, None)
        if key in self._offline_logs:
            return self._delete_offline_log(key)
        log = self._logs.pop(key, None)
        if log is None:
            return not self.offline_dirs
        log_dir = self._dir_of.pop(key)
        self._cleaner.forget_log(key)
        delay_ms = log.config.file_delete_delay_ms
        try:
            folder = log.rename_for_deletion()
        except KafkaStorageError as error:
            if isinstance(error.__cause__, FileNotFoundError) and log_dir.path.is_dir():
                _log.warning("%s was removed by somebody else", log.path)
                return True
            self._dirs.take_offline(log_dir, OSError(errno.EIO, str(error)))
            return False
        self._folders.remove_later(folder, delay_ms)
        return True

    def _delete_offline_log(self, key: TopicPartition) -> bool:
        del self._offline_logs[key]
        self._waiting.pop(key, None)
        log_dir = self._dir_of.pop(key)
        folder = log_dir.path / f"{key[0]}-{key[1]}"
        doomed = folder.with_name(deleted_folder_name(folder.name, self._clock.random_bytes(16)))
        try:
            folder.rename(doomed)
        except OSError as error:
            self._dirs.take_offline(log_dir, error)
            return False
        self._folders.remove(doomed)
        return True

    def delete_due_folders(self) -> None:
        """Remove the folders of deleted logs whose delay is over, on the worker."""
        self._folders.remove_due()

    def checkpoint_recovery_points(self) -> None:
        """Write, on the worker, up to where each log is on disk for certain."""
        self._checkpoints.write(RECOVERY_POINT_NAME)

    def checkpoint_log_start_offsets(self) -> None:
        """Write, on the worker, the log starts that the segments alone do not tell."""
        self._checkpoints.write(LOG_START_OFFSET_NAME)

    def checkpoint_high_watermarks(self) -> None:
        """Write each log's high watermark, on the worker."""
        self._checkpoints.write(HIGH_WATERMARK_NAME)

    def enforce_retention(self) -> int:
        """Drop segments that are too old or too much; how many."""
        now_ms = self._clock.now_ms()
        self.delete_due_folders()
        dropped = 0
        for log in self._online_logs():
            if not self._cleaner.is_cleaning(log):
                dropped += self._guard(log, partial(enforce_retention, log, now_ms))
        return dropped

    def compact(self) -> bool:
        """Start compacting the log with the most to gain, on the worker; False if none has."""
        if not self._settings.log_cleaner_enable:
            return False
        future_of = self.future_logs.get
        staying = [log for log in self._online_logs() if not future_of((log.topic, log.partition))]
        return self._cleaner.compact_filthiest(staying)

    def abort_compaction(self) -> None:
        """Let a running compaction end soon, without effect; call it before closing the worker."""
        self._cleaner.abort()

    def flush_due(self) -> None:
        """Sync the logs whose flush.ms or flush.messages is reached."""
        now_ms = self._clock.now_ms()
        for log in self._logs.values():
            if log.recovery_point < log.log_end_offset and not self._dir_of_log(log).is_offline:
                self._guard(log, partial(log.flush_if_due, now_ms))

    def expire_producers(self) -> None:
        """Forget idempotent producers that were silent for too long."""
        now_ms = self._clock.now_ms()
        for log in self._online_logs():
            log.remove_expired_producers(now_ms)

    def set_default_config(self, config: LogConfig) -> None:
        """The settings of logs that are opened without their own, from now on."""
        self._default_config = config

    def close(self, *, clean: bool = True) -> None:
        """Close every log; where `clean`, flush, checkpoint and mark each folder that managed.

        The worker is idle or closed by then.
        """
        self._cleaner.abort()
        for log_dir in self._dirs:
            logs = self._logs_in(log_dir)
            if clean and not log_dir.is_offline:
                self._dirs.attempt(log_dir, partial(self._close_dir, log_dir, logs))
            else:
                for log in logs:
                    try_close(log, clean=False)
        if clean and not self.offline_dirs:
            self.future_logs.finish_all()
        self._let_go()

    # -- from one folder to another -------------------------------------------------------------

    def online_dir_at(self, path: str) -> LogDir:
        """The folder of `log.dirs` at an absolute path.

        Raises LogDirNotFoundError, and KafkaStorageError where it is offline.
        """
        log_dir = self._dirs.at(path)
        self._dirs.check_online(log_dir)
        return log_dir

    def prefer_dir(self, topic: str, partition: int, log_dir: LogDir) -> None:
        """Make the partition's log there, should it be made (again)."""
        key = (topic, partition)
        if log_dir not in (self._dir_of.get(key), self.future_logs.dir_of(key)):
            while len(self._preferred_dirs) >= MAX_PREFERRED_DIRS:
                del self._preferred_dirs[next(iter(self._preferred_dirs))]
            self._preferred_dirs[key] = log_dir

    def begin_future_log(self, current: Log, log_dir: LogDir) -> FutureLog | None:
        """An empty copy of a log in another folder, to be filled; None where it is there already.

        Raises KafkaStorageError, also while any folder is offline: there may be a copy in it.
        """
        key = (current.topic, current.partition)
        if self._dir_of[key] is log_dir:
            return None
        self._dirs.check_all_online("it may hold a copy of the log")
        self._preferred_dirs.pop(key, None)
        if self._cleaner.is_cleaning(current):
            self._cleaner.abort()
        try:
            return self.future_logs.create(log_dir, current)
        except OSError as error:
            self._dirs.storage_failed(log_dir, log_dir.path, error)
            raise KafkaStorageError(log_dir.path, str(error)) from error

    def replace_with_future(self, current: Log) -> Log:
        """Put the copy in the place of a log that ends where it does; raises KafkaStorageError."""
        key = (current.topic, current.partition)
        log, log_dir = self.future_logs.replace(key, current, self._checkpoints.write_all)
        self._adopt_log(log_dir, key, log)
        return log

    # -- loading --------------------------------------------------------------------------------

    def _restore_cleaner_offsets(self, log_dir: LogDir) -> None:
        self._cleaner.restore_offsets(log_dir.read_checkpoints().cleaner_offsets or {})

    def _load_dir(self, log_dir: LogDir, config_of: Callable[[str], LogConfig]) -> None:
        for folder in log_dir.deleted_folders():
            self._folders.remove(folder)
        is_clean = log_dir.take_clean_marker()
        checkpoints = log_dir.read_checkpoints()
        for key, folder in log_dir.partition_folders():
            if key in self._logs and self._may_replace(key, folder):
                self._load_copy(log_dir, key, folder, checkpoints)
                continue
            if key in self._dir_of:
                raise InconsistentLogDirError(
                    f"{folder} and {self._dir_of[key].path / folder.name} hold the same "
                    "partition; move one of them away"
                )
            config = config_of(key[0])
            load = partial(self._load_log, log_dir, key, folder, config, checkpoints, is_clean)
            self._waiting[key] = load
            load()

    def _may_replace(self, key: TopicPartition, folder: Path) -> bool:
        """Whether one of the two folders of this partition was to take the other's place."""
        return is_replacing(folder) or is_replacing(self._logs[key].path)

    def _load_copy(
        self, log_dir: LogDir, key: TopicPartition, folder: Path, checkpoints: Checkpoints
    ) -> None:
        """Open a log of which another folder holds a copy, and keep the better one."""
        known = self._logs[key]
        try:
            log = self._opener.open_log(Log, key, folder, known.config, checkpoints, is_clean=False)
        except _LOG_FAULTS as error:
            _log.error("%s-%d stays offline, and so does its copy: %s", *key, error)
            self._offline_logs[key] = error
            self._logs.pop(key).close(clean=False)
            return
        is_better = reaches_further(log, known) or (
            is_replacing(folder) and not reaches_further(known, log)
        )
        if is_better:
            log.increment_log_start_offset(min(known.log_start_offset, log.log_end_offset))
            self._adopt_log(log_dir, key, log)
        give_up_copy(known if is_better else log)

    def _load_log(
        self,
        log_dir: LogDir,
        key: TopicPartition,
        folder: Path,
        config: LogConfig,
        checkpoints: Checkpoints,
        is_clean: bool,
    ) -> None:
        """Open a log that is on disk; where it stays offline, _offline_logs has the reason."""
        self._dir_of[key] = log_dir
        try:
            log = self._opener.open_log(Log, key, folder, config, checkpoints, is_clean=is_clean)
        except KafkaStorageError as error:
            if not error.is_passing:
                raise
            self._offline_logs[key] = error  # and it goes on waiting
            return
        except _LOG_FAULTS as error:
            _log.error("%s-%d stays offline: %s", *key, error)
            self._offline_logs[key] = error
        else:
            self._offline_logs.pop(key, None)
            log.promised_end = checkpoints.high_watermarks.get(key, 0)
            self._adopt_log(log_dir, key, log)
            if checkpoints.cleaner_offsets is None:
                # From here on the new file says that this log may have gaps.
                self._cleaner.restore_offsets({key: log.log_start_offset})
        del self._waiting[key]

    def _adopt_log(self, log_dir: LogDir, key: TopicPartition, log: Log) -> None:
        log.on_storage_failure = partial(self._dirs.storage_failed, log_dir)
        self._logs[key] = log
        self._dir_of[key] = log_dir

    def _create_log(self, key: TopicPartition, topic_id: bytes, config: LogConfig) -> Log:
        online = self._dirs.online()
        if len(online) > 1:
            counts = Counter(self._dir_of.values())
            preferred = self._preferred_dirs.pop(key, None)
            online.sort(key=lambda each: (each is not preferred, counts[each]))
        failures = []
        for log_dir in online:
            folder = log_dir.path / f"{key[0]}-{key[1]}"
            try:
                log = self._create_log_in(log_dir, folder, key, topic_id, config)
            except OSError as error:
                self._dirs.storage_failed(log_dir, folder, error)
                failures.append(KafkaStorageError(folder, str(error)))
                continue
            self._adopt_log(log_dir, key, log)
            self._folders.sync_new(folder, partial(self._dirs.worker_failed, log_dir))
            return log
        raise failures[-1]

    def _create_log_in(
        self,
        log_dir: LogDir,
        folder: Path,
        key: TopicPartition,
        topic_id: bytes,
        config: LogConfig,
    ) -> Log:
        self._missing.forget(key)
        log_dir.forget_partition(key)
        try:
            folder.mkdir()
        except FileExistsError as error:
            raise InconsistentLogDirError(
                f"{folder} has appeared since the broker started; move it away"
            ) from error
        try:
            if topic_id != ZERO_UUID:
                self._new_metadata.write(folder, topic_id)
            log = self._opener.open_log(Log, key, folder, config, None, is_clean=True)
            log.topic_id = topic_id
            return log
        except (OSError, KafkaStorageError) as error:
            # Half a folder would stand in the way of the next attempt.
            remove_tree(folder, ignore_errors=True)
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from error
            raise

    # -- folders --------------------------------------------------------------------------------

    def _online_logs(self) -> list[Log]:
        return [log for log in self._logs.values() if not self._dir_of_log(log).is_offline]

    def _dir_of_log(self, log: Log) -> LogDir:
        return self._dir_of[log.topic, log.partition]

    def _on_log_failure(self, log: Log, error: OSError) -> None:
        self._dirs.storage_failed(self._dir_of_log(log), Path(log.path), error)

    def _checkpoint_cleaner_offsets(self) -> None:
        self._checkpoints.write(CLEANER_OFFSET_NAME)

    def _dir_went_offline(self, log_dir: LogDir) -> None:
        for log in self._logs.values():
            if self._cleaner.is_cleaning(log) and self._dir_of_log(log) is log_dir:
                self._cleaner.abort()
        self.future_logs.forget_dir(log_dir)
        self._tell_offline(log_dir.path)

    def _tell_offline(self, path: Path) -> None:
        if self.on_dir_offline is not None:
            self.on_dir_offline(path)

    def _guard(self, log: Log, action: Callable[[], int | None]) -> int:
        """Do it; a failing disk takes its folder offline and does not stop the caller's loop."""
        try:
            return action() or 0
        except OSError as error:
            self._on_log_failure(log, error)
        except KafkaStorageError as error:
            _log.error("%s", error)
        return 0

    def _offline_in(self, log_dir: LogDir) -> list[TopicPartition]:
        unopened = [key for key in self._offline_logs if self._dir_of[key] is log_dir]
        return [*unopened, *self._missing.keys_in(log_dir)]

    def _logs_in(self, log_dir: LogDir) -> list[Log]:
        current = [log for key, log in self._logs.items() if self._dir_of[key] is log_dir]
        return [*current, *self.future_logs.logs_in(log_dir)]

    # -- closing --------------------------------------------------------------------------------

    def _close_dir(self, log_dir: LogDir, logs: Iterable[Log]) -> None:
        # A log left offline must be scanned again, so there is no marker beside it.
        all_closed = all(self._dir_of[key] is not log_dir for key in self._offline_logs)
        for log in logs:
            all_closed = not log.is_offline and try_close(log) and all_closed
        self._checkpoints.write_last(log_dir)
        if all_closed:
            log_dir.leave_clean_marker()

    def _abandon(self) -> None:
        """Leave the folders of a start that failed as they were found."""
        for log_dir in self._dirs:
            is_closed = [try_close(log) for log in self._logs_in(log_dir)].count(False) == 0
            if log_dir.was_clean and is_closed and not log_dir.is_offline:
                self._dirs.attempt(log_dir, log_dir.leave_clean_marker)
        self._let_go()

    def _let_go(self) -> None:
        for log_dir in self._dirs:
            log_dir.unlock()
        self._logs.clear()
        self._dir_of.clear()

"""All logs of this node's `log.dirs`: open, create, delete, checkpoint, keep house.

One thread, the loop thread, calls every method and owns every log; slow work goes to the worker.

A folder whose disk fails goes offline until the next start; the logs of the others go on.  A log
that is corrupt in its middle is offline alone.  After a clean stop nothing is scanned.
"""

import errno
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from .checkpoint_file import (
    HIGH_WATERMARK_NAME,
    LOG_START_OFFSET_NAME,
    RECOVERY_POINT_NAME,
    TopicPartition,
    check_room,
    write_new_partition_metadata,
    write_partition_metadata,
)
from .clock import Clock
from .errors import (
    PASSING_REFUSALS,
    CorruptIndexError,
    CorruptRecordError,
    HeadraceError,
    InconsistentLogDirError,
    KafkaStorageError,
    LogCorruptedError,
)
from .folder_keeper import FolderKeeper
from .kafka_uuid import ZERO_UUID, uuid_to_text
from .log import Log
from .log_cleaner import LogCleaner
from .log_config import LogConfig
from .log_dir import CLEANER_OFFSET_NAME, Checkpoints, LogDir, deleted_folder_name
from .log_dir_identity import agree_on_identity
from .log_manager_settings import LogManagerSettings
from .log_retention import enforce_retention
from .worker import Worker

_log = logging.getLogger(__name__)

# What is said of a log whose folder or file somebody has removed.
_FILE_GONE = frozenset((errno.ENOENT, errno.ESTALE))
# What a new log takes at once: its folder, partition.metadata, and the first page of its files.
_NEW_LOG_BYTES = 16 * 1024
# What is wrong with one log alone, and is no failure of its disk.
_LOG_FAULTS = (LogCorruptedError, CorruptRecordError, CorruptIndexError, InconsistentLogDirError)


class LogManager:
    """The logs of one node.  `on_dir_offline` is told of a folder whose disk failed."""

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
        if not log_dirs:
            raise InconsistentLogDirError("log.dirs names no folder; name at least one")
        self._dirs = [LogDir(path.absolute()) for path in dict.fromkeys(log_dirs)]
        self._clock = clock
        self._worker = worker
        self._default_config = default_config or LogConfig()
        self._settings = settings or LogManagerSettings()
        self._logs: dict[TopicPartition, Log] = {}
        self._dir_of: dict[TopicPartition, LogDir] = {}
        self._offline_logs: dict[TopicPartition, HeadraceError] = {}
        # How to open those offline logs that a full disk kept from being recovered.
        self._waiting: dict[TopicPartition, Callable[[], None]] = {}
        self._folders = FolderKeeper(clock, worker)
        self.creating_together = self._folders.together  # a block in which many logs are made
        self._cleaner = LogCleaner(
            clock,
            worker,
            dedupe_buffer_bytes=self._settings.log_cleaner_dedupe_buffer_size,
            on_progress=self._checkpoint_cleaner_offsets,
            on_storage_failure=self._on_log_failure,
        )
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
                self._try_dir(log_dir, log_dir.lock)
            self.adopt_cluster_id(self.cluster_id)
            for log_dir in self._online_dirs():
                self._try_dir(log_dir, partial(self._load_dir, log_dir, choose_config))
            self._online_dirs()
            self._checkpoint_cleaner_offsets()
        except BaseException:
            self._abandon()
            raise

    def adopt_cluster_id(self, cluster_id: str) -> None:
        """Tie the folders to a cluster; "": to the one they name, else as the settings say."""
        self.cluster_id = agree_on_identity(
            self._online_dirs(),
            cluster_id=cluster_id or None,
            node_id=self.node_id,
            clock=self._clock,
            waits=self._settings.waits_for_cluster and not cluster_id,
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
        self, topic: str, partition: int, *, topic_id: bytes, config: LogConfig
    ) -> Log:
        """The partition's log under `config`, made in the folder with the fewest where it is new.

        Raises InconsistentLogDirError where the log on disk belongs to another topic of that name,
        KafkaStorageError where no folder is usable, and what kept the log offline at the start.
        """
        key = (topic, partition)
        if key in self._waiting:
            self._check_online(self._dir_of[key])
            self._waiting[key]()
        if key in self._offline_logs:
            raise self._offline_logs[key]
        log = self._logs.get(key)
        if log is None:
            return self._create_log(key, topic_id, config)
        self._check_online(self._dir_of[key])
        if log.config != config:
            log.update_config(config)
        if topic_id not in (ZERO_UUID, log.topic_id):
            if log.topic_id != ZERO_UUID:
                raise InconsistentLogDirError(
                    f"{log.path} holds the topic id {uuid_to_text(log.topic_id)}, but {topic} has "
                    f"{uuid_to_text(topic_id)}; move the folder away to start it anew"
                )
            write_partition_metadata(log.path, topic_id)
            log.topic_id = topic_id
        return log

    def check_room(self, log_count: int) -> None:
        """Raise KafkaStorageError unless a disk has room for this many new logs.

        Asked before a topic is decided on, so that a full disk leaves nothing half made.
        """
        failure: OSError | None = None
        for log_dir in self._online_dirs():
            try:
                check_room(log_dir.path, log_count * _NEW_LOG_BYTES)
            except OSError as error:
                failure = error
                self._on_storage_failure(log_dir, log_dir.path, error)
            else:
                return
        assert failure is not None
        raise KafkaStorageError(Path(failure.filename or self._dirs[0].path), str(failure))

    def check_dirs(self) -> None:
        """Take folders offline that were removed: what is appended there would be lost."""
        for log_dir in self._dirs:
            if not log_dir.is_offline:
                self._try_dir(log_dir, log_dir.check_in_place)

    def delete_log(self, topic: str, partition: int) -> None:
        """Take the log out of use at once; its files go after file.delete.delay.ms.

        Nothing happens where there is no such log.
        """
        key = (topic, partition)
        if key in self._offline_logs:
            self._delete_offline_log(key)
            return
        log = self._logs.pop(key, None)
        if log is None:
            return
        log_dir = self._dir_of.pop(key)
        self._cleaner.forget_log(key)
        delay_ms = log.config.file_delete_delay_ms
        try:
            folder = log.rename_for_deletion()
        except KafkaStorageError as error:
            if isinstance(error.__cause__, FileNotFoundError) and log_dir.path.is_dir():
                _log.warning("%s was removed by somebody else", log.path)
            else:
                self._take_offline(log_dir, OSError(errno.EIO, str(error)))
            return
        self._folders.remove_later(folder, delay_ms)

    def _delete_offline_log(self, key: TopicPartition) -> None:
        del self._offline_logs[key]
        self._waiting.pop(key, None)
        log_dir = self._dir_of.pop(key)
        folder = log_dir.path / f"{key[0]}-{key[1]}"
        doomed = folder.with_name(deleted_folder_name(folder.name, self._clock.random_bytes(16)))
        try:
            folder.rename(doomed)
        except OSError as error:
            self._take_offline(log_dir, error)
            return
        self._folders.remove(doomed)

    def delete_due_folders(self) -> None:
        """Remove the folders of deleted logs whose delay is over, on the worker."""
        self._folders.remove_due()

    def checkpoint_recovery_points(self) -> None:
        """Write, on the worker, up to where each log is on disk for certain."""
        self._checkpoint(RECOVERY_POINT_NAME, _recovery_point_of)

    def checkpoint_log_start_offsets(self) -> None:
        """Write, on the worker, the log starts that the segments alone do not tell."""
        self._checkpoint(LOG_START_OFFSET_NAME, _log_start_offset_of)

    def checkpoint_high_watermarks(self) -> None:
        """Write each log's high watermark, on the worker."""
        self._checkpoint(HIGH_WATERMARK_NAME, _high_watermark_of)

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
        return self._cleaner.compact_filthiest(self._online_logs())

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
            logs = [log for log in self._logs.values() if self._dir_of_log(log) is log_dir]
            if clean and not log_dir.is_offline:
                self._try_dir(log_dir, partial(self._close_dir, log_dir, logs))
            else:
                for log in logs:
                    _try_close(log, clean=False)
            log_dir.unlock()
        self._logs.clear()
        self._dir_of.clear()

    # -- loading --------------------------------------------------------------------------------

    def _load_dir(self, log_dir: LogDir, config_of: Callable[[str], LogConfig]) -> None:
        for folder in log_dir.deleted_folders():
            self._folders.remove(folder)
        is_clean = log_dir.take_clean_marker()
        checkpoints = log_dir.read_checkpoints()
        self._cleaner.restore_offsets(checkpoints.cleaner_offsets or {})
        for key, folder in log_dir.partition_folders():
            if key in self._dir_of:
                raise InconsistentLogDirError(
                    f"{folder} and {self._dir_of[key].path / folder.name} hold the same "
                    "partition; move one of them away"
                )
            config = config_of(key[0])
            load = partial(self._load_log, log_dir, key, folder, config, checkpoints, is_clean)
            self._waiting[key] = load
            load()

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
            log = self._open_log(log_dir, key, folder, config, checkpoints, is_clean=is_clean)
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
            self._adopt_log(log_dir, key, log)
            if checkpoints.cleaner_offsets is None:
                # From here on the new file says that this log may have gaps.
                self._cleaner.restore_offsets({key: log.log_start_offset})
        del self._waiting[key]

    def _open_log(
        self,
        log_dir: LogDir,
        key: TopicPartition,
        folder: Path,
        config: LogConfig,
        checkpoints: Checkpoints | None,
        *,
        is_clean: bool,
    ) -> Log:
        starts = checkpoints.log_start_offsets if checkpoints else {}
        points = checkpoints.recovery_points if checkpoints else {}
        log = Log.open(
            folder,
            topic=key[0],
            partition=key[1],
            config=config,
            clock=self._clock,
            worker=self._worker,
            is_clean=is_clean,
            is_new=checkpoints is None,
            recovery_point=points.get(key, 0),
            log_start_offset=starts.get(key, 0),
            producer_id_expiration_ms=self._settings.producer_id_expiration_ms,
            allows_gaps=checkpoints is not None and checkpoints.may_have_gaps(key),
        )
        committed = checkpoints.high_watermarks.get(key, 0) if checkpoints else 0
        log.update_high_watermark(min(max(committed, log.log_start_offset), log.log_end_offset))
        return log

    def _adopt_log(self, log_dir: LogDir, key: TopicPartition, log: Log) -> None:
        log.on_storage_failure = partial(self._on_storage_failure, log_dir)
        self._logs[key] = log
        self._dir_of[key] = log_dir

    def _create_log(self, key: TopicPartition, topic_id: bytes, config: LogConfig) -> Log:
        online = self._online_dirs()
        if len(online) > 1:
            counts = Counter(self._dir_of.values())
            online.sort(key=lambda each: counts[each])
        failures = []
        for log_dir in online:
            folder = log_dir.path / f"{key[0]}-{key[1]}"
            try:
                log = self._create_log_in(log_dir, folder, key, topic_id, config)
            except OSError as error:
                self._on_storage_failure(log_dir, folder, error)
                failures.append(KafkaStorageError(folder, str(error)))
                continue
            self._adopt_log(log_dir, key, log)
            self._folders.sync_new(folder, partial(self._on_worker_error, log_dir))
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
        log_dir.forget_partition(key)
        try:
            folder.mkdir()
        except FileExistsError as error:
            raise InconsistentLogDirError(
                f"{folder} has appeared since the broker started; move it away"
            ) from error
        try:
            if topic_id != ZERO_UUID:
                write_new_partition_metadata(folder, topic_id)
            log = self._open_log(log_dir, key, folder, config, None, is_clean=True)
            log.topic_id = topic_id
            return log
        except (OSError, KafkaStorageError) as error:
            # Half a folder would stand in the way of the next attempt.
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from error
            raise

    # -- folders --------------------------------------------------------------------------------

    def _online_dirs(self) -> list[LogDir]:
        online = [log_dir for log_dir in self._dirs if not log_dir.is_offline]
        if not online:
            failed = self._dirs[0]
            raise KafkaStorageError(failed.path, f"no folder of log.dirs works: {failed.failure}")
        return online

    def _check_online(self, log_dir: LogDir) -> None:
        if log_dir.is_offline:
            raise KafkaStorageError(log_dir.path, f"the folder is offline: {log_dir.failure}")

    def _online_logs(self) -> list[Log]:
        return [log for log in self._logs.values() if not self._dir_of_log(log).is_offline]

    def _dir_of_log(self, log: Log) -> LogDir:
        return self._dir_of[log.topic, log.partition]

    def _try_dir(self, log_dir: LogDir, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            self._take_offline(log_dir, error)
        except KafkaStorageError as error:
            self._take_offline(log_dir, OSError(errno.EIO, str(error)))

    def _on_storage_failure(self, log_dir: LogDir, path: Path, error: OSError) -> None:
        if error.errno in PASSING_REFUSALS:
            _log.error("%s: %s; appends are refused until that is mended", path, error)
            return
        if error.errno in _FILE_GONE and path != log_dir.path and log_dir.is_in_place():
            _log.error("%s: %s; somebody has removed it, this log alone is offline", path, error)
            return
        self._take_offline(log_dir, error)

    def _on_log_failure(self, log: Log, error: OSError) -> None:
        self._on_storage_failure(self._dir_of_log(log), Path(log.path), error)

    def _checkpoint_cleaner_offsets(self) -> None:
        self._checkpoint(CLEANER_OFFSET_NAME, self._cleaner.offset_of)

    def _take_offline(self, log_dir: LogDir, error: OSError) -> None:
        if log_dir.is_offline:
            return
        log_dir.failure = error
        for log in self._logs.values():
            if self._cleaner.is_cleaning(log) and self._dir_of_log(log) is log_dir:
                self._cleaner.abort()
        _log.error("%s goes offline until the next start: %s", log_dir.path, error)
        if self.on_dir_offline is not None:
            self.on_dir_offline(log_dir.path)

    def _guard(self, log: Log, action: Callable[[], int | None]) -> int:
        """Do it; a failing disk takes its folder offline and does not stop the caller's loop."""
        try:
            return action() or 0
        except OSError as error:
            self._on_log_failure(log, error)
        except KafkaStorageError as error:
            _log.error("%s", error)
        return 0

    def _checkpoint(self, name: str, offset_of: Callable[[Log], int | None]) -> None:
        for log_dir in self._dirs:
            if log_dir.is_offline:
                continue
            offsets = self._gather(log_dir, name, offset_of)
            generation = log_dir.generation
            self._worker.submit(
                partial(log_dir.write_checkpoint, name, offsets, generation=generation),
                None,
                partial(self._on_worker_error, log_dir),
            )

    def _gather(
        self, log_dir: LogDir, name: str, offset_of: Callable[[Log], int | None]
    ) -> dict[TopicPartition, int]:
        gathered = {}
        for key, log in self._logs.items():
            if self._dir_of[key] is log_dir and (offset := offset_of(log)) is not None:
                gathered[key] = offset
        for key in self._offline_logs:
            if self._dir_of[key] is log_dir and (kept := log_dir.written_offset(name, key)) >= 0:
                gathered[key] = kept
        return gathered

    def _on_worker_error(self, log_dir: LogDir, error: BaseException) -> None:
        if not isinstance(error, OSError):
            raise error
        self._on_storage_failure(log_dir, log_dir.path, error)

    # -- closing --------------------------------------------------------------------------------

    def _close_dir(self, log_dir: LogDir, logs: Iterable[Log]) -> None:
        # A log left offline must be scanned again, so there is no marker beside it.
        all_closed = all(self._dir_of[key] is not log_dir for key in self._offline_logs)
        for log in logs:
            all_closed = not log.is_offline and _try_close(log) and all_closed
        log_dir.retire_checkpoints()
        for name, offset_of in (
            (RECOVERY_POINT_NAME, _recovery_point_of),
            (LOG_START_OFFSET_NAME, _log_start_offset_of),
            (HIGH_WATERMARK_NAME, _high_watermark_of),
        ):
            log_dir.write_checkpoint(
                name, self._gather(log_dir, name, offset_of), generation=log_dir.generation
            )
        if all_closed:
            log_dir.leave_clean_marker()

    def _abandon(self) -> None:
        """Leave the folders of a start that failed as they were found."""
        for log_dir in self._dirs:
            logs = [log for log in self._logs.values() if self._dir_of_log(log) is log_dir]
            is_closed = [_try_close(log) for log in logs].count(False) == 0
            if log_dir.was_clean and is_closed and not log_dir.is_offline:
                self._try_dir(log_dir, log_dir.leave_clean_marker)
            log_dir.unlock()
        self._logs.clear()
        self._dir_of.clear()


def _try_close(log: Log, *, clean: bool = True) -> bool:
    try:
        log.close(clean=clean)
    except (OSError, KafkaStorageError) as error:
        _log.error("%s was not closed cleanly: %s", log.path, error)
        return False
    return True


def _recovery_point_of(log: Log) -> int:
    return log.recovery_point


def _log_start_offset_of(log: Log) -> int | None:
    """The start, where the segments do not tell it by themselves."""
    segments = log.segments
    if segments and log.log_start_offset <= segments[0].base_offset:
        return None
    return log.log_start_offset


def _high_watermark_of(log: Log) -> int:
    return log.high_watermark

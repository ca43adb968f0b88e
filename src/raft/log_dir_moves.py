"""Replicas on their way from one folder of `log.dirs` to another (KIP-113).

    alter -> an empty copy -> [the worker reads ahead -> the loop stores a chunk] ... -> swapped in

The copy is to the current log what a follower's log is to its leader's: it appends the same batches
and is cut where the current log was.  What is read comes into memory on the worker; the loop
thread stores at most CHUNK_BYTES at a time, and waits for a sync after FLUSH_BYTES, so that a slow
disk slows down the copy and not the broker.  Once both end at the same offset, the copy takes the
place of the current log within one turn of the loop (`core/future_logs.py`).  Loop thread only.
"""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial

from ..core.crc32c import crc32c
from ..core.errors import HeadraceError, KafkaStorageError
from ..core.future_log import FutureLog
from ..core.log import Log
from ..core.log_dir import future_folder_name
from ..core.log_manager import LogManager
from ..core.worker import Worker
from .errors import InvalidTopicError, NotLeaderOrFollowerError, ReplicaNotAvailableError
from .follower_log import cut_back, store_from_leader, truncation_offset
from .partition import Partition
from .replica_manager import ReplicaManager
from .replication_quota import UNLIMITED, ReplicationQuota
from .runtime_contract import Schedule

CHUNK_BYTES = 256 * 1024
FLUSH_BYTES = 32 * 1024 * 1024
# What the worker may still have to sync while nothing else is synced: the last step of a move.
UNFLUSHED_AT_SWAP_BYTES = 4 * 1024 * 1024
MAX_NAME_BYTES = 255

logger = logging.getLogger(__name__)


class LogDirMoves:
    """Every move of this broker; at most `at_once` are under way, the others wait.

    `quota` bounds what all of them together copy in a second.
    """

    def __init__(
        self,
        log_manager: LogManager,
        replicas: ReplicaManager,
        worker: Worker,
        *,
        at_once: int,
        quota: ReplicationQuota,
        schedule: Schedule,
    ) -> None:
        self._log_manager = log_manager
        self._replicas = replicas
        self._worker = worker
        self._at_once = at_once
        self._quota = quota
        self._schedule = schedule
        self._waiting: deque[LogDirMove] = deque()
        self._active: list[LogDirMove] = []
        self._is_closed = False
        replicas.on_log_opened = self.resume

    def alter(self, topic: str, index: int, path: str) -> None:
        """Have this broker's replica in the folder of `log.dirs` at `path`, now or soon.

        Where there is none yet, it is made there.  Raises LogDirNotFoundError, KafkaStorageError,
        UnknownTopicOrPartitionError, ReplicaNotAvailableError, InvalidTopicError.
        """
        key = (topic, index)
        if len(future_folder_name(key, bytes(16)).encode()) > MAX_NAME_BYTES:
            raise InvalidTopicError(f"{topic} is too long a name for a folder on its way")
        logs, future_logs = self._log_manager, self._log_manager.future_logs
        log_dir = logs.online_dir_at(path)
        logs.prefer_dir(topic, index, log_dir)
        try:
            partition = self._replicas.partition(topic, index)
        except NotLeaderOrFollowerError as error:
            raise ReplicaNotAvailableError(str(error)) from error
        log = partition.log
        if not isinstance(log, Log):
            raise KafkaStorageError(log_dir.path, f"{topic}-{index}: {partition.offline_reason}")
        if future_logs.dir_of(key) is log_dir:
            return
        future_logs.drop(key)  # it was on its way to another folder
        future = logs.begin_future_log(log, log_dir)
        if future is not None:
            logger.info("%s-%d moves from %s to %s", topic, index, log.path.parent, path)
            self._begin(LogDirMove(self, partition, future))

    def resume(self, partition: Partition) -> None:
        """Its log is open: go on with the move that a stop interrupted."""
        key = (partition.topic, partition.index)
        future = self._log_manager.future_logs.get(key)
        if future is None or any(move.future is future for move in (*self._active, *self._waiting)):
            return
        logger.info("%s-%d goes on moving to %s", *key, future.path.parent)
        self._begin(LogDirMove(self, partition, future))

    def retry(self) -> None:
        """Go on with what waits for room on a disk."""
        for move in list(self._active):
            move.wake()

    def close(self) -> None:
        """Copy nothing any more; the next start goes on."""
        self._is_closed = True

    # -- what a move asks for

    def wait_ms(self) -> int:
        """How long the quota asks to wait before more is copied."""
        return 0 if self._quota.bytes_per_s == UNLIMITED else self._quota.free_in_ms()

    def note_copied(self, size_bytes: int) -> None:
        """So much was copied."""
        if self._quota.bytes_per_s != UNLIMITED:
            self._quota.record(size_bytes)

    def call_later(self, delay_ms: int, call: Callable[[], None]) -> None:
        """Call it once that time is over."""
        self._schedule(delay_ms, call)

    def goes_on(self, move: "LogDirMove") -> bool:
        """Whether this copy of this partition is still wanted."""
        partition = move.partition
        key = (partition.topic, partition.index)
        return (
            not self._is_closed
            and isinstance(partition.log, Log)
            and self._log_manager.future_logs.get(key) is move.future
        )

    def read_ahead(
        self,
        records: memoryview,
        on_read: Callable[[], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Have the bytes in memory, without the loop waiting for a disk."""
        self._worker.submit(partial(crc32c, records), lambda _crc: on_read(), on_error)

    def swap(self, move: "LogDirMove", current: Log) -> None:
        """The copy is as long as the log: it takes its place."""
        log = self._log_manager.replace_with_future(current)
        self._replicas.replace_log(move.partition, log)
        logger.info("%s-%d is in %s now", log.topic, log.partition, log.path.parent)

    def give_up(self, move: "LogDirMove", reason: BaseException) -> None:
        """It cannot be copied: it stays where it is."""
        partition = move.partition
        foreseen = isinstance(reason, HeadraceError)
        logger.error(
            "%s-%d stays where it is: %s",
            *(partition.topic, partition.index, reason),
            exc_info=None if foreseen else reason,
        )
        self._log_manager.future_logs.drop((partition.topic, partition.index))

    def ended(self, move: "LogDirMove") -> None:
        """Another one may begin."""
        self._active.remove(move)
        self._begin_waiting()

    def _begin(self, move: "LogDirMove") -> None:
        self._waiting.append(move)
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        while self._waiting and len(self._active) < self._at_once:
            move = self._waiting.popleft()
            self._active.append(move)
            move.go_on()


class LogDirMove:
    """One replica on its way."""

    def __init__(self, moves: LogDirMoves, partition: Partition, future: FutureLog) -> None:
        self.partition = partition
        self.future = future
        self._moves = moves
        self._is_asleep = False
        self._unflushed_bytes = 0

    def go_on(self) -> None:
        """Do the next step, or end."""
        self._attempt(self._advance)

    def wake(self) -> None:
        """Go on if it waits for room."""
        if self._is_asleep:
            self._is_asleep = False
            self.go_on()

    def _attempt(self, step: Callable[[Log], None]) -> None:
        current = self.partition.log
        if not self._moves.goes_on(self) or not isinstance(current, Log):
            self._moves.ended(self)
            return
        try:
            self._align(current)
            step(current)
        except Exception as error:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, KafkaStorageError) and error.is_passing:
            logger.warning("%s waits: %s", self.future.path, error)
            self._is_asleep = True
            return
        if self._moves.goes_on(self):
            self._moves.give_up(self, error)
        self._moves.ended(self)  # whatever it is: others wait for their turn

    def _advance(self, current: Log) -> None:
        future = self.future
        if future.log_end_offset == current.log_end_offset:
            self._finish(current)
        elif self._unflushed_bytes >= FLUSH_BYTES:
            self._flush()
        elif (wait_ms := self._moves.wait_ms()) > 0:
            self._moves.call_later(wait_ms, self.go_on)
        else:
            records = self._read(current)
            self._moves.read_ahead(records, lambda: self._attempt(self._store), self._failed)

    def _read(self, current: Log) -> memoryview:
        return current.read_records(
            start_offset=self.future.log_end_offset,
            max_bytes=CHUNK_BYTES,
            upper_bound_offset=current.log_end_offset,
        )

    def _store(self, current: Log) -> None:
        """Read again what is in memory by now (the log may have been cut since), and store it."""
        records = self._read(current)
        if records:
            store_from_leader(self.future, records, current.log_start_offset)
        elif self.future.log_end_offset < current.log_end_offset:
            self.future.skip_to(current.log_end_offset)  # compaction has left nothing
        self._unflushed_bytes += len(records)
        self._moves.note_copied(len(records))
        self._advance(current)

    def _flush(self) -> None:
        self._unflushed_bytes = 0
        self.future.flush_async(lambda _offset: self.go_on(), lambda _error: self.go_on())

    def _finish(self, current: Log) -> None:
        if self._unflushed_bytes > UNFLUSHED_AT_SWAP_BYTES or self.future.is_flushing:
            self._flush()
            return
        self._moves.swap(self, current)
        self._moves.ended(self)

    def _align(self, current: Log) -> None:
        """Cut the copy where the log it is a copy of was cut, and begin it where that begins."""
        future = self.future
        if future.config is not current.config:
            future.update_config(current.config)
        while future.log_end_offset > future.log_start_offset and future.latest_epoch >= 0:
            told_epoch, told_end = current.end_offset_for_epoch(future.latest_epoch)
            if told_epoch == future.latest_epoch and told_end >= future.log_end_offset:
                break
            if told_epoch < 0:
                future.truncate_fully_and_start_at(current.log_start_offset)
                break
            cut_back(future, truncation_offset(future, told_epoch, told_end))
        if future.log_end_offset > current.log_end_offset:
            cut_back(future, current.log_end_offset)
        if future.log_end_offset < current.log_start_offset:
            future.truncate_fully_and_start_at(current.log_start_offset)
        elif future.log_start_offset > current.log_start_offset:
            # The log began anew, and has by now what the copy lacks below its own beginning.
            future.truncate_fully_and_start_at(current.log_start_offset)
        elif future.log_start_offset < current.log_start_offset:
            future.increment_log_start_offset(current.log_start_offset)

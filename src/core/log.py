"""`Log`: the segments of one partition in order; append, read, roll, truncate.

    log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset

One thread owns a log: the loop thread of a broker, the caller in a program; the worker reserves,
syncs and deletes.  A view that `read_records` lends stays readable after its segment is gone.
"""

import errno
import logging
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from .append_info import AppendInfo
from .batch_run import make_room
from .batch_validator import BatchValidator
from .clock import Clock
from .errors import (
    NO_DESCRIPTOR_LEFT,
    PASSING_REFUSALS,
    KafkaStorageError,
    LogClosedError,
    OffsetOutOfRangeError,
)
from .kafka_uuid import ZERO_UUID
from .leader_epoch_cache import LeaderEpochCache
from .log_config import LogConfig
from .log_flusher import (
    FlushPlan,
    LogFlusher,
    OnError,
    OnFlushed,
    SyncGate,
    ignore_outcome,
    plan_flush,
)
from .log_recovery import LogLoader, reload_producers, stored_topic_id
from .log_segment import LogSegment
from .log_state import LogState
from .producer_entry import ProducerEntry
from .producer_state import ProducerStateManager
from .record_batch import RecordBatch
from .segment_files import delete_segment_files, doomed_folder_name, retire_segments, swap_segments
from .timestamp_lookup import TimestampLookup, TimestampOffset
from .transaction_index import AbortedTransaction, TransactionIndexes
from .worker import Worker

if TYPE_CHECKING:
    from typing_extensions import Buffer

_logger = logging.getLogger(__name__)
_base_offset = attrgetter("base_offset")


class Log(LogState):
    """One partition's records; made by `Log.open`.

    Attributes are for reading, but `topic_id` and `on_storage_failure`; `cut_bytes`: by recovery.
    `promised_end`: what an earlier life committed, whether it is there or not; see MissingLogs.
    """

    def __init__(
        self,
        path: Path,
        *,
        topic: str,
        partition: int,
        config: LogConfig,
        clock: Clock,
        worker: Worker,
        producer_id_expiration_ms: int,
    ) -> None:
        self.path = path
        self.topic = topic
        self.partition = partition
        self.topic_id = ZERO_UUID
        self.on_storage_failure: Callable[[Path, OSError], None] | None = None
        self.segments = []
        self.cut_bytes = 0
        self.promised_end = 0
        self._clock = clock
        self._worker = worker
        self._is_closed = False
        self._has_new_names = True
        self._last_flush_ms = clock.now_ms()
        self._txn_indexes = TransactionIndexes()
        self._times = TimestampLookup()
        self._epochs = LeaderEpochCache(path)
        self._producers = ProducerStateManager(path, expiration_ms=producer_id_expiration_ms)
        self._sync_gate = SyncGate()
        self._flusher = LogFlusher(
            worker,
            make_plan=self._plan_flush,
            on_flushed=self._flushed,
            on_failure=self._flush_failed,
        )
        self.update_config(config)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        topic: str,
        partition: int,
        config: LogConfig,
        clock: Clock,
        worker: Worker,
        is_clean: bool,
        is_new: bool = False,
        recovery_point: int = 0,
        log_start_offset: int = 0,
        producer_id_expiration_ms: int = 86_400_000,
        allows_gaps: bool = False,
    ) -> "Log":
        """The log in the folder `path`, made if it is not there; `is_new`: it is there, and empty.

        `allows_gaps`: it was compacted, so offsets may be missing, whatever its policy says now.
        `is_clean`: a clean stop vouches for the files; else what lies behind `recovery_point` is
        recovered.  Raises LogCorruptedError, KafkaStorageError.
        """
        log = cls(
            path,
            topic=topic,
            partition=partition,
            config=config,
            clock=clock,
            worker=worker,
            producer_id_expiration_ms=producer_id_expiration_ms,
        )
        try:
            if is_new:
                log._begin_at(0)
            else:
                path.mkdir(parents=True, exist_ok=True)
                log._load(is_clean, recovery_point, log_start_offset, allows_gaps)
        except OSError as error:
            raise KafkaStorageError(path, str(error)) from error
        return log

    @property
    def size_bytes(self) -> int:
        """Bytes of batches in all segments."""
        return sum(segment.size_bytes for segment in self.segments)

    @property
    def is_offline(self) -> bool:
        """Whether a storage failure has stopped the log: no append until it is opened again."""
        return self._refusal is not None and not self._is_closed

    @property
    def needs_flush_before_ack(self) -> bool:
        """Whether flush.messages asks for a sync before the last append is answered."""
        return self.log_end_offset - self.recovery_point >= self.config.flush_messages

    def make_room(self, size_bytes: int) -> int:
        """Do a part of what appending `size_bytes` will cost; how many bytes of it are left."""
        if self._refusal is not None:
            raise self._refused()
        with self._storage_guard():
            return make_room(self.active_segment, size_bytes)

    def aborted_transactions(
        self, start_offset: int, upper_bound_offset: int
    ) -> list[AbortedTransaction]:
        """The aborted transactions with a record in the range, in the order of first_offset."""
        segments = self.segments[self.slot_of(start_offset) :]
        return self._txn_indexes.aborted_between(segments, start_offset, upper_bound_offset)

    def update_high_watermark(self, offset: int) -> None:
        """Note what is replicated; an older value is ignored."""
        if offset <= self.high_watermark:
            return
        assert offset <= self.log_end_offset, (offset, self.log_end_offset)
        self.high_watermark = offset
        self._producers.high_watermark_moved(offset)

    def end_offset_for_epoch(self, leader_epoch: int) -> tuple[int, int]:
        """(epoch, end offset) of the largest epoch at or below this one; (-1, -1) if unknown."""
        return self._epochs.end_offset_for(leader_epoch, self.log_end_offset)

    def epoch_at(self, offset: int) -> int:
        """The leader epoch that wrote the record at `offset`; -1 if unknown."""
        return self._epochs.epoch_at(offset)

    def assign_epoch(self, leader_epoch: int, start_offset: int) -> None:
        """Note that `leader_epoch` writes from `start_offset` on."""
        with self._storage_guard():
            self._epochs.assign(leader_epoch, start_offset)

    def find_offset_by_timestamp(self, timestamp: int) -> TimestampOffset | None:
        """The earliest record no older than `timestamp` [ms]."""
        return self._times.find_by_timestamp(self.segments, timestamp, self.log_start_offset)

    def find_max_timestamp(self) -> TimestampOffset | None:
        """The first record that carries the newest timestamp."""
        return self._times.find_newest(self.segments, self.log_start_offset)

    def roll(self) -> LogSegment:
        """Close the active segment and begin a new one at log_end_offset."""
        with self._storage_guard():
            return self._roll(self._clock.now_ms())

    def truncate_to(self, offset: int) -> None:
        """Drop every batch that ends at `offset` or above.

        At its end too it forgets an epoch that wrote nothing: of a leader whose first append was
        refused, and that follows one which never heard of that epoch (Kafka does the same).
        """
        if offset >= self.log_end_offset:
            with self._storage_guard():
                self._epochs.truncate_from_end(self.log_end_offset)
            return
        if offset < self.segments[0].base_offset:
            self.truncate_fully_and_start_at(offset)
            return
        keep = max(1, bisect_right(self.segments, offset, key=_base_offset))
        with self._storage_guard():
            if self.segments[keep:]:
                self._delete_segments(self.segments[keep:])
            del self.segments[keep:]
            self.active_segment = self.segments[-1]
            self.active_segment.make_active()
            self.active_segment.truncate_to(offset)
            self._txn_indexes.index_of(self.active_segment).truncate_to(offset)
            self._ended_at(self.active_segment.next_offset)

    def truncate_fully_and_start_at(self, offset: int) -> None:
        """Drop every record; the log is empty and goes on at `offset`."""
        with self._storage_guard():
            self._delete_segments(self.segments)
            self._producers.delete_all_snapshots()
            self._begin_at(offset)
            self._ended_at(offset)
            self._epochs.clear()
            self.recovery_point = self.high_watermark = offset

    def increment_log_start_offset(self, offset: int) -> None:
        """Give up the records below `offset`; segments wholly below it are deleted."""
        if offset > self.log_end_offset:
            raise OffsetOutOfRangeError(offset, self.log_start_offset, self.log_end_offset)
        if offset <= self.log_start_offset:
            return
        self.log_start_offset = offset
        self.high_watermark = max(self.high_watermark, offset)
        with self._storage_guard():
            self._epochs.truncate_from_start(offset)
            self._drop_oldest(bisect_right(self.segments, offset, key=_base_offset) - 1)

    def delete_oldest_segments(self, count: int) -> None:
        """Delete the `count` oldest segments; a new one is begun if none would be left."""
        with self._storage_guard():
            if count >= len(self.segments) and self.active_segment.size_bytes:
                self._roll(self._clock.now_ms())
            self._drop_oldest(min(count, len(self.segments) - 1))
            start = self.segments[0].base_offset
            if start > self.log_start_offset:
                self.log_start_offset = start
                self._epochs.truncate_from_start(start)

    def replace_segments(self, new: Sequence[LogSegment], old: Sequence[LogSegment]) -> None:
        """Put `.cleaned` segments in the place of closed ones, safe against a crash at any point.

        `new` are complete and synced, in order, within the offsets of `old`.
        """
        assert self.active_segment not in old, self.active_segment.base_offset
        first = self.segments.index(old[0])
        assert self.segments[first : first + len(old)] == list(old), (first, len(old))
        with self._storage_guard():
            swap_segments(self.path, new, old)
        self.segments[first : first + len(old)] = new
        self._txn_indexes.forget((*old, *new))
        self._times.forget()
        for segment, following in pairwise(self.segments):
            segment.next_offset = following.base_offset
        self._producers.delete_snapshots(set(map(_base_offset, old)) - set(map(_base_offset, new)))
        self._worker.submit(partial(delete_segment_files, self.path, list(old)))

    def flush(self) -> None:
        """Sync what is written; returns when it is on disk.

        Not beside a sync on the worker, nor behind one that failed there, of which this thread is
        still to hear: another one would say that all is well.
        """
        failure = self._sync_gate.failure
        if failure is not None:
            self._flush_failed(failure)
        if self._refusal is not None:
            raise self._refused(failure)
        if self._flusher.is_in_flight:  # what its plan has taken note of is not on disk yet
            self._has_new_names = True
            self._epochs.is_unsynced = self._epochs.path.exists()
        if self.recovery_point == self.log_end_offset and not self._has_new_names:
            return
        try:
            self._flushed(self._plan_flush().run())
        except OSError as error:
            self._flush_failed(error)
            raise self._refused(error) from error

    def flush_async(self, on_flushed: OnFlushed, on_error: OnError) -> None:
        """Sync on the worker what is written by now, together with whoever else waits."""
        if self._refusal is not None:
            on_error(self._refused())
            return
        self._flusher.request_flush(on_flushed, lambda error: on_error(self._refused(error)))

    def flush_if_due(self, now_ms: int) -> None:
        """Begin a sync where flush.ms has passed since the last one."""
        is_dirty = self._refusal is None and self.recovery_point < self.log_end_offset
        if is_dirty and now_ms - self._last_flush_ms >= self.config.flush_ms:
            self._last_flush_ms = now_ms
            self.flush_async(ignore_outcome, ignore_outcome)

    def active_producers(self) -> list[ProducerEntry]:
        """The idempotent producers that are remembered."""
        return self._producers.entries

    def take_producer_snapshot(self) -> None:
        """Write the producers' state at log_end_offset."""
        with self._storage_guard():
            self._producers.take_snapshot(self.log_end_offset)

    def remove_expired_producers(self, now_ms: int) -> int:
        """Forget producers that wrote nothing for too long; how many."""
        return self._producers.remove_expired(now_ms)

    def update_config(self, config: LogConfig) -> None:
        """Live by these settings from the next append on."""
        self.config = config
        self._validator = BatchValidator(config)
        jitter_ms = int(self._clock.random_float() * config.segment_jitter_ms)
        self._roll_ms = config.segment_ms - min(jitter_ms, config.segment_ms)
        if self.segments:
            self.active_segment.apply_limits(
                config.segment_bytes, config.index_interval_bytes, self._roll_ms
            )

    def close(self, *, clean: bool = True) -> None:
        """Let go of every file; views stay readable.  Idempotent.

        `clean`: sync, trim and snapshot first, so that the next opening has nothing to recover.
        """
        if self._is_closed:
            return
        is_clean = clean and self._refusal is None
        try:
            if is_clean and self.log_end_offset:  # where nothing ever was, nothing can be lost
                self.flush()
                self.take_producer_snapshot()
        finally:
            self._is_closed = True
            self._refusal = self._refusal or "the log was closed"
            for segment in self.segments:
                segment.close(trim=is_clean)

    def rename_for_deletion(self) -> Path:
        """Rename the folder so that no start takes it for a log; the new path.  Closes the log."""
        self.close(clean=False)
        renamed = self.path.with_name(
            doomed_folder_name(self.topic, self.partition, self._clock.random_bytes(16))
        )
        try:
            self.path.rename(renamed)
        except OSError as error:
            raise KafkaStorageError(self.path, str(error)) from error
        self.path = renamed
        return renamed

    def _load(
        self, is_clean: bool, recovery_point: int, log_start_offset: int, allows_gaps: bool
    ) -> None:
        self.topic_id = stored_topic_id(self.path)
        loader = LogLoader(
            self.path,
            self._make_segment,
            self._epochs,
            self._producers,
            is_clean=is_clean,
            recovery_point=recovery_point,
            log_start_offset=log_start_offset,
            allows_gaps=allows_gaps or self.config.is_compacted,
        )
        self.segments = loader.load()
        self.active_segment = self.segments[-1]
        self.log_start_offset = self.high_watermark = loader.log_start_offset
        self.log_end_offset = self.active_segment.next_offset
        self.recovery_point = loader.recovery_point
        self.cut_bytes = loader.cut_bytes
        self._has_new_names = not is_clean or self.active_segment.size_bytes == 0

    def _begin_at(self, offset: int) -> None:
        self.active_segment = self._make_segment(offset, -1, True)
        self.segments = [self.active_segment]
        self.log_start_offset = offset

    def _make_segment(self, base_offset: int, size_bytes: int, is_writable: bool) -> LogSegment:
        return LogSegment(
            str(self.path),
            base_offset,
            segment_bytes=self.config.segment_bytes,
            index_max_bytes=self.config.segment_index_bytes,
            index_interval_bytes=self.config.index_interval_bytes,
            roll_ms=self._roll_ms,
            created_ms=self._clock.now_ms(),
            is_writable=is_writable,
            size_bytes=size_bytes,
            submit=self._worker.submit,
        )

    def _note_producer(self, records: "Buffer", info: AppendInfo) -> None:
        if not info.is_control:
            self._producers.note_batch(info)
            return
        aborted = self._producers.note_marker(info, RecordBatch(records))
        if aborted is not None:
            with self._storage_guard():
                self._txn_indexes.index_of(self.active_segment).append_entry(aborted)

    def _roll(self, now_ms: int) -> LogSegment:
        """Begin a new segment; the old one stays the active one if anything fails."""
        old, base_offset = self.active_segment, self.log_end_offset
        if len(self._producers) or self._producers.snapshot_offset >= 0:
            self._producers.take_snapshot(base_offset)
        new = self._make_segment(base_offset, -1, True)
        try:
            old.make_inactive()
        except OSError:
            new.close()
            new.delete_files()
            raise
        self.segments.append(new)
        self.active_segment = new
        self._has_new_names = True
        self.flush_async(ignore_outcome, ignore_outcome)
        return new

    def _drop_oldest(self, count: int) -> None:
        if count > 0:
            self._delete_segments(self.segments[:count])
            del self.segments[:count]
            self._producers.delete_snapshots_below(self.segments[0].base_offset)

    def _delete_segments(self, segments: Sequence[LogSegment]) -> None:
        """Take segments out of sight; the worker unlinks them, readers keep their views."""
        self._txn_indexes.forget(segments)
        self._times.forget()
        retire_segments(segments)
        self._worker.submit(partial(delete_segment_files, self.path, list(segments)))

    def _ended_at(self, offset: int) -> None:
        """Bring everything else in line with a log that now ends at `offset`."""
        self.log_end_offset = offset
        self.recovery_point = min(self.recovery_point, offset)
        self.high_watermark = min(self.high_watermark, offset)
        self._epochs.truncate_from_end(offset)
        reload_producers(
            self._producers, self.segments, start_offset=self.log_start_offset, end_offset=offset
        )
        self._producers.high_watermark_moved(self.high_watermark)

    def _plan_flush(self) -> FlushPlan:
        unsynced = self.segments[self.slot_of(self.recovery_point) :]
        changed = [self._epochs.path] if self._epochs.is_unsynced else []
        folder = self.path if changed or self._has_new_names else None
        plan = plan_flush(unsynced, self.log_end_offset, changed, folder, self._sync_gate)
        self._has_new_names = self._epochs.is_unsynced = False
        return plan

    def _flushed(self, end_offset: int) -> None:
        self._last_flush_ms = self._clock.now_ms()
        self.recovery_point = max(self.recovery_point, min(end_offset, self.log_end_offset))

    def _flush_failed(self, error: BaseException) -> None:
        failure = error if isinstance(error, OSError) else OSError(errno.EIO, str(error))
        if failure.errno in NO_DESCRIPTOR_LEFT:
            self._has_new_names = True  # no sync has failed: the next one covers it all
        else:
            self._go_offline(failure)

    @contextmanager
    def _storage_guard(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> KafkaStorageError:
        """What to raise for a failed write; anything but a full disk takes the log offline."""
        if error.errno not in PASSING_REFUSALS:
            self._go_offline(error)
        return KafkaStorageError(self.path, error.strerror or str(error))

    def _go_offline(self, error: OSError) -> None:
        if self._refusal is None:
            self._refusal = error.strerror or str(error)
            _logger.error("%s goes offline: %s", self.path, self._refusal)
            if self.on_storage_failure is not None:
                self.on_storage_failure(self.path, error)

    def _refused(self, error: BaseException | None = None) -> LogClosedError | KafkaStorageError:
        if self._is_closed:
            return LogClosedError(f"{self.path} was closed")
        return KafkaStorageError(self.path, self._refusal or str(error))

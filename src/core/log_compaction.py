"""Compaction of one log: of each key only the last record stays, at its offset.

First the keys of the dirty part are read into an `OffsetMap`, then all segments up to its end are
written anew, several small ones into one.  A `Compaction` does no more than read the old files and
write `.cleaned` ones, so it runs on the worker; the loop thread swaps each one in (log_cleaner).

    A RECORD STAYS   as the last of its key; a tombstone only until its batch's delete horizon
    A BATCH STAYS    emptied, as the last one of an active producer (its sequence must survive a
                     restart) or as the very last of the round; else it goes with its last record
    AN ABORTED ONE   goes at once; its marker when none of its batches is left
    A MARKER         goes at its delete horizon, once no batch of its transaction is left

The delete horizon, now + delete.retention.ms, is written into a batch when it is first cleaned with
tombstones in it, or as the marker of an emptied transaction.  Source: Kafka docs "Log Compaction",
KIP-98 (markers), KIP-534 (delete horizon).
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .batch_builder import BatchBuilder
from .batch_file import BATCH_HEADER_BYTES, READ_BYTES, read_file_batches
from .errors import HeadraceError, LogCorruptedError
from .log_config import LogConfig
from .log_segment import CLEANED_SUFFIX, LOG_SUFFIX, TXN_INDEX_SUFFIX, LogSegment
from .mapped_file import sync_descriptor
from .offset_map import OffsetMap, judge_batch
from .record_batch import RecordBatch
from .transaction_index import AbortedTransaction, TransactionIndex

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_OFFSET_SPAN = 2**31 - 1
INDEX_ENTRY_BYTES = 12
_CODEC_NAMES = ("none", "gzip", "snappy", "lz4", "zstd")


class CompactionAbortedError(HeadraceError):
    """The compaction was told to stop; nothing was changed since its last swap."""


@dataclass(frozen=True, slots=True)
class SegmentSource:
    """One old segment as the loop thread saw it; its file does not change any more."""

    base_offset: int
    next_offset: int
    size_bytes: int
    path: Path


@dataclass(frozen=True, slots=True)
class CompactionPlan:
    """What one round works on.  `sources` start at the log's start and end where the uncleanable
    part begins; those from `first_dirty_offset` on were never read for compaction.

    `producers` gives, for each active producer, its last batch's last offset (-1: it wrote none,
    only markers stand for it) and its epoch.
    """

    folder: Path
    sources: tuple[SegmentSource, ...]
    first_dirty_offset: int
    config: LogConfig
    now_ms: int
    secret: bytes
    memory_bytes: int
    producers: Mapping[int, tuple[int, int]] = field(default_factory=dict)


class Compaction:
    """One round over one log; call `read_keys`, then `clean_next_group` until it gives None."""

    def __init__(self, plan: CompactionPlan, is_aborted: Callable[[], bool]) -> None:
        self._plan = plan
        self._is_aborted = is_aborted
        self._groups: list[list[SegmentSource]] = []
        self._map: OffsetMap | None = None
        self._transactions = _CleanedTransactions([])
        self.end_offset = plan.first_dirty_offset
        self.bytes_read = 0
        self.bytes_written = 0

    def read_keys(self) -> None:
        """Read the dirty part's keys, as far as the memory goes; plan the groups of segments.

        `end_offset` then is where the next round begins.  Raises LogCorruptedError for a batch
        that fails its CRC, CompactionAbortedError, OSError.
        """
        plan = self._plan
        dirty_end = plan.sources[-1].next_offset if plan.sources else plan.first_dirty_offset
        dirty_offsets = max(dirty_end - plan.first_dirty_offset, 0)
        offset_map = OffsetMap(
            max_entries=dirty_offsets, memory_bytes=plan.memory_bytes, secret=plan.secret
        )
        self._transactions = _CleanedTransactions(_aborted_of(plan.sources))
        self.end_offset = self._fill_map(offset_map)
        offset_map.latest_offset = self.end_offset - 1
        self._map = offset_map
        cleanable = [each for each in plan.sources if each.base_offset < self.end_offset]
        self._groups = group_segments(cleanable, plan.config)
        self._transactions = _CleanedTransactions(_aborted_of(plan.sources))

    def clean_next_group(self) -> tuple[LogSegment, list[int]] | None:
        """Write the next `.cleaned` segment: with the base offsets of those it stands for.

        None once all are done.  Raises as `read_keys` does; the unfinished file is removed then.
        """
        if not self._groups:
            return None
        assert self._map is not None, "read_keys comes first"
        group = self._groups.pop(0)
        segment = self._new_segment(group)
        try:
            self._transactions.begin_segment()
            self._write_group(segment, group)
            index = TransactionIndex(Path(segment.path_of(TXN_INDEX_SUFFIX)))
            for aborted in self._transactions.written:
                index.append_entry(aborted)
            segment.make_inactive()
            _sync_segment(segment)
            _copy_modification_time(group[-1].path, segment.path_of(LOG_SUFFIX))
        except BaseException:
            segment.close()
            segment.delete_files()
            raise
        return segment, [each.base_offset for each in group]

    def _fill_map(self, offset_map: OffsetMap) -> int:
        """Put the dirty part's keys into the map; the offset behind what was read."""
        plan = self._plan
        end_offset = plan.first_dirty_offset
        for source in plan.sources:
            if source.next_offset <= plan.first_dirty_offset:
                self._transactions.skip_to(source.next_offset)
                continue
            for batch in self._read_batches(source):
                is_aborted = self._transactions.can_discard(batch)
                if batch.last_offset < plan.first_dirty_offset:
                    continue
                if not batch.is_control and not is_aborted:
                    if not offset_map.has_room_for(batch.record_count):
                        return self._end_of_full_map(end_offset, batch)
                    offset_map.put_batch(batch, plan.first_dirty_offset)
                end_offset = batch.next_offset
            end_offset = max(end_offset, source.next_offset)
        return end_offset

    def _end_of_full_map(self, end_offset: int, batch: RecordBatch) -> int:
        if end_offset == self._plan.first_dirty_offset:
            raise LogCorruptedError(
                self._plan.folder,
                0,
                f"{batch!r} has more records than log.cleaner.dedupe.buffer.size "
                f"({self._plan.memory_bytes}) has room for; raise it",
            )
        return end_offset

    def _write_group(self, segment: LogSegment, group: Sequence[SegmentSource]) -> None:
        pieces: list[Buffer] = []
        waiting_bytes = 0
        for source in group:
            for batch in self._read_batches(source):
                kept = self._clean_batch(batch)
                self.bytes_read += batch.size_bytes
                if kept is None:
                    continue
                pieces.append(kept)
                waiting_bytes += len(kept)
                if waiting_bytes >= READ_BYTES:
                    segment.append_records(b"".join(pieces))
                    self.bytes_written += waiting_bytes
                    pieces.clear()
                    waiting_bytes = 0
        if pieces:
            segment.append_records(b"".join(pieces))
            self.bytes_written += waiting_bytes

    def _clean_batch(self, batch: RecordBatch) -> memoryview | bytearray | None:
        """The batch as it stays: itself, written anew, emptied, or None."""
        assert self._map is not None
        now_ms = self._plan.now_ms
        horizon_ms = batch.delete_horizon_ms
        is_due = horizon_ms is not None and horizon_ms <= now_ms
        can_discard = self._transactions.can_discard(batch)
        if batch.record_count == 0:
            return self._emptied(batch)
        if batch.is_control:
            if can_discard and is_due:
                return self._emptied(batch)
            if can_discard and horizon_ms is None:
                return self._rewritten(batch, b"\x01" * batch.record_count, sets_horizon=True)
            return batch.view()
        if can_discard:
            return self._emptied(batch)
        verdict = judge_batch(self._map, batch, not is_due)
        sets_horizon = verdict.has_tombstones and horizon_ms is None
        if verdict.retained_count == 0:
            return self._emptied(batch)
        if verdict.retained_count == batch.record_count and not sets_horizon:
            return batch.view()
        return self._rewritten(batch, verdict.retained, sets_horizon=sets_horizon)

    def _emptied(self, batch: RecordBatch) -> bytearray | None:
        """The batch without records where its header must stay, else None."""
        if not self._stands_for_producer(batch) and batch.next_offset != self.end_offset:
            return None
        builder = _builder_like(batch, compression="none", delete_horizon_ms=None)
        return builder.build(last_offset_delta=batch.last_offset_delta)

    def _stands_for_producer(self, batch: RecordBatch) -> bool:
        """Whether a restart would learn an active producer's state from this batch."""
        if batch.producer_id not in self._plan.producers:
            return False
        last_offset, producer_epoch = self._plan.producers[batch.producer_id]
        if last_offset < 0:
            return batch.is_control and batch.producer_epoch == producer_epoch
        return batch.last_offset == last_offset

    def _rewritten(self, batch: RecordBatch, retained: bytes, *, sets_horizon: bool) -> bytearray:
        """The batch with its retained records only, at their offsets and with their times."""
        horizon_ms = batch.delete_horizon_ms
        if sets_horizon:
            horizon_ms = self._plan.now_ms + self._plan.config.delete_retention_ms
        builder = _builder_like(
            batch,
            compression=_CODEC_NAMES[batch.compression_id],
            delete_horizon_ms=horizon_ms,
        )
        for record, is_kept in zip(batch.records(), retained, strict=True):
            if is_kept:
                builder.append_record(
                    timestamp=record.timestamp,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                    offset_delta=record.offset - batch.base_offset,
                )
        return builder.build(last_offset_delta=batch.last_offset_delta)

    def _read_batches(self, source: SegmentSource) -> Iterator[RecordBatch]:
        for position, batch in read_file_batches(source.path, source.size_bytes):
            if self._is_aborted():
                raise CompactionAbortedError(f"the compaction of {self._plan.folder} was aborted")
            if not batch.crc_is_valid():
                raise LogCorruptedError(source.path, position, f"{batch!r} fails its CRC")
            yield batch

    def _new_segment(self, group: Sequence[SegmentSource]) -> LogSegment:
        config = self._plan.config
        size_bytes = sum(each.size_bytes for each in group)
        base_offset = group[0].base_offset
        remove_cleaned_files(self._plan.folder, base_offset)
        return LogSegment(
            str(self._plan.folder),
            base_offset,
            segment_bytes=max(config.segment_bytes, 2 * size_bytes),
            index_max_bytes=max(config.segment_index_bytes, _index_bytes(2 * size_bytes, config)),
            index_interval_bytes=config.index_interval_bytes,
            roll_ms=config.segment_ms,
            suffix=CLEANED_SUFFIX,
        )


def group_segments(
    sources: Sequence[SegmentSource], config: LogConfig
) -> list[list[SegmentSource]]:
    """Neighbours that fit one segment together: by bytes, index entries and span of offsets."""
    groups: list[list[SegmentSource]] = []
    group_bytes = 0
    for source in sources:
        group_bytes += source.size_bytes
        if (
            groups
            and group_bytes <= config.segment_bytes
            and _index_bytes(group_bytes, config) <= config.segment_index_bytes
            and source.next_offset - 1 - groups[-1][0].base_offset <= MAX_OFFSET_SPAN
        ):
            groups[-1].append(source)
        else:
            groups.append([source])
            group_bytes = source.size_bytes
    return groups


def remove_cleaned_files(folder: Path, base_offset: int) -> None:
    """Remove what an earlier round left unfinished under this base offset."""
    for path in folder.glob(f"{base_offset:020d}.*{CLEANED_SUFFIX}"):
        path.unlink(missing_ok=True)


class _CleanedTransactions:
    """Follows the aborted transactions of a log, batch by batch in the order of offsets.

    `written` collects those of which a batch is still there: the new segment's index.
    """

    def __init__(self, aborted: Sequence[AbortedTransaction]) -> None:
        self._waiting = sorted(aborted, key=lambda each: each.first_offset, reverse=True)
        self._open: dict[int, AbortedTransaction] = {}
        self._open_with_batches: set[int] = set()
        self._committing: set[int] = set()
        self.written: list[AbortedTransaction] = []

    def begin_segment(self) -> None:
        """Collect for a new segment from here on."""
        self.written = []

    def skip_to(self, offset: int) -> None:
        """Take note of what began below `offset` in segments that are not read."""
        self._open_up_to(offset - 1)
        ended = [pid for pid, each in self._open.items() if each.last_offset < offset]
        for producer_id in ended:
            del self._open[producer_id]

    def can_discard(self, batch: RecordBatch) -> bool:
        """Whether no consumer needs it: a batch of an aborted transaction, or a marker of a
        transaction of which no batch was seen."""
        self._open_up_to(batch.last_offset)
        if batch.is_control:
            return self._can_discard_marker(batch)
        if not batch.is_transactional:
            return False
        if batch.producer_id in self._open:
            self._open_with_batches.add(batch.producer_id)
            return True
        self._committing.add(batch.producer_id)
        return False

    def _can_discard_marker(self, batch: RecordBatch) -> bool:
        marker = next(batch.records(), None)
        if marker is None or marker.key is None:
            return True
        producer_id = batch.producer_id
        marker_type = int.from_bytes(marker.key[2:4], "big")
        if marker_type == 0:
            aborted = self._open.pop(producer_id, None)
            if aborted is not None and producer_id in self._open_with_batches:
                self._open_with_batches.discard(producer_id)
                self.written.append(aborted)
                return False
            return True
        if marker_type == 1:
            had_batches = producer_id in self._committing
            self._committing.discard(producer_id)
            return not had_batches
        return False

    def _open_up_to(self, offset: int) -> None:
        while self._waiting and self._waiting[-1].first_offset <= offset:
            aborted = self._waiting.pop()
            self._open.setdefault(aborted.producer_id, aborted)


def _aborted_of(sources: Sequence[SegmentSource]) -> list[AbortedTransaction]:
    found: list[AbortedTransaction] = []
    for source in sources:
        found += TransactionIndex(source.path.with_suffix(TXN_INDEX_SUFFIX)).entries
    return found


def _builder_like(
    batch: RecordBatch, *, compression: str, delete_horizon_ms: int | None
) -> BatchBuilder:
    return BatchBuilder(
        compression=compression,
        base_offset=batch.base_offset,
        leader_epoch=batch.leader_epoch,
        producer_id=batch.producer_id,
        producer_epoch=batch.producer_epoch,
        base_sequence=batch.base_sequence,
        is_transactional=batch.is_transactional,
        is_control=batch.is_control,
        timestamp_type="LogAppendTime" if batch.has_log_append_time else "CreateTime",
        delete_horizon_ms=delete_horizon_ms,
    )


def _index_bytes(log_bytes: int, config: LogConfig) -> int:
    """The most that the index of so many bytes of batches can take."""
    spacing = max(config.index_interval_bytes, BATCH_HEADER_BYTES)
    return (log_bytes // spacing + 2) * INDEX_ENTRY_BYTES


def _sync_segment(segment: LogSegment) -> None:
    """A swap deletes the old segments, so the new one must be on disk first."""
    segment.log.flush()
    segment.offset_index.file.flush()
    segment.time_index.file.flush()
    txn_index = segment.path_of(TXN_INDEX_SUFFIX)
    if os.path.exists(txn_index):
        descriptor = os.open(txn_index, os.O_RDONLY | os.O_CLOEXEC)
        try:
            sync_descriptor(descriptor)
        finally:
            os.close(descriptor)


def _copy_modification_time(source: Path, target: str) -> None:
    """Records without a timestamp age by their file's."""
    modified_ns = source.stat().st_mtime_ns
    os.utime(target, ns=(modified_ns, modified_ns))

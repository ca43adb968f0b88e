"""Opens a partition's folder: which files to trust, what to rebuild, where to cut.

After a clean stop the names, the sizes and the end of the last segment are looked at, nothing else.
After a crash every segment from the one that holds the recovery point on is read batch by batch:
its indexes are rebuilt, and what follows its last whole batch decides:

    nothing, or zeros                the reserved tail: trimmed
    a write that was cut off         cut, and logged with its bytes
    pages lost in a power cut        the same: nobody was promised what lies behind the recovery
                                     point; below it this is corruption
    whole batches, bytes changed     LogCorruptedError: this partition stays offline

Segments behind a cut are dropped, because a log has no holes.  Producers and leader epochs are read
from the batches where their files end.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .append_info import AppendInfo
from .checkpoint_file import CheckpointFormatError, read_partition_metadata
from .errors import LogCorruptedError
from .kafka_uuid import ZERO_UUID
from .leader_epoch_cache import LeaderEpochCache
from .log_segment import TXN_INDEX_SUFFIX, LogSegment
from .producer_state import ProducerStateManager
from .segment_files import FolderListing, list_folder
from .segment_recovery import (
    CORRUPT,
    DAMAGED,
    LOST_PAGES,
    RESERVED,
    TORN,
    WHOLE,
    SegmentScan,
    recover_segment,
    replay_segment,
)
from .transaction_index import TransactionIndex

_logger = logging.getLogger(__name__)

# (base_offset, size_bytes, is_writable) -> the segment; a size of -1 makes a new one.
SegmentMaker = Callable[[int, int, bool], LogSegment]


@dataclass(slots=True)
class LogLoader:
    """One opening of a log; `load` may be called once."""

    folder: Path
    make_segment: SegmentMaker
    epochs: LeaderEpochCache
    producers: ProducerStateManager
    is_clean: bool
    recovery_point: int
    log_start_offset: int
    allows_gaps: bool
    cut_bytes: int = 0
    _replay_from: int = 0
    _rewrites_txn_indexes: bool = False

    def load(self) -> list[LogSegment]:
        """The segments, oldest first; the last one is open for writing.  Raises LogCorruptedError.

        `recovery_point`, `log_start_offset` and `cut_bytes` then say how it went.
        """
        listing = list_folder(self.folder)
        bases = sorted(listing.log_sizes)
        if not bases:
            bases = [self.log_start_offset]
            listing.log_sizes[bases[0]] = -1
        self.log_start_offset = max(self.log_start_offset, bases[0])
        has_epochs = self.epochs.load() and self.epochs.latest_epoch >= 0
        segments = self._load_clean(bases, listing)
        if segments is None:
            segments = self._recover(bases, listing.log_sizes, listing.snapshot_offsets)
        end_offset = segments[-1].next_offset
        if not has_epochs and end_offset > bases[0]:
            self._rebuild_epochs(segments)
        if end_offset < self.log_start_offset:
            segments = self._start_anew(segments)
            end_offset = self.log_start_offset
        self.epochs.truncate_from_end(end_offset, save=not self.is_clean)
        self.epochs.truncate_from_start(self.log_start_offset, save=not self.is_clean)
        self.recovery_point = min(self.recovery_point, end_offset)
        if self.is_clean:
            self.recovery_point = end_offset
        return segments

    def _load_clean(self, bases: list[int], listing: FolderListing) -> list[LogSegment] | None:
        """The segments as a clean stop left them; None where they must be recovered."""
        if not self.is_clean:
            return None
        sizes = listing.log_sizes
        segments = self._make_closed(bases[:-1], sizes, bases[-1])
        last = self.make_segment(bases[-1], sizes[bases[-1]], True)
        if not last.size_bytes and bases[-1] not in listing.indexed:
            # Nothing to learn: a thousand new partitions do without two thousand index files.
            return self._finish_clean(segments, last, listing)
        if not last.offset_index.slot_count and last.size_bytes > 2 * last.index_interval_bytes:
            last.rebuild_indexes()
        if not last.load_end():
            _logger.warning("%s: the last segment is not as a clean stop leaves it", self.folder)
            last.close(trim=False)
            self.is_clean = False
            return None
        return self._finish_clean(segments, last, listing)

    def _finish_clean(
        self, segments: list[LogSegment], last: LogSegment, listing: FolderListing
    ) -> list[LogSegment]:
        segments.append(last)
        self._load_producers(segments, listing.snapshot_offsets, last.next_offset)
        self._replay(segments, last.next_offset)
        return segments

    def _recover(
        self, bases: list[int], sizes: dict[int, int], snapshots: list[int]
    ) -> list[LogSegment]:
        first = max((n for n, base in enumerate(bases) if base <= self.recovery_point), default=0)
        segments = self._make_closed(bases[:first], sizes, bases[first])
        self._load_producers(segments, snapshots, bases[first])
        self._replay(segments, bases[first])
        self._rewrites_txn_indexes = True
        for slot in range(first, len(bases)):
            if slot > first and self._is_lost_between(segments[-1].next_offset, bases[slot]):
                self._drop(bases[slot:], sizes)
                break
            segment = self.make_segment(bases[slot], sizes[bases[slot]], True)
            is_last = slot == len(bases) - 1
            scan = self._recover_one(segment, is_last)
            segments.append(segment)
            if scan.kind not in (WHOLE, RESERVED) and not is_last:
                self._drop(bases[slot + 1 :], sizes)
                break
        for segment in segments[first:-1]:
            segment.make_inactive()
        return segments

    def _recover_one(self, segment: LogSegment, is_last: bool) -> SegmentScan:
        """Scan one segment and cut what follows its last whole batch, if that is allowed."""
        TransactionIndex(Path(segment.path_of(TXN_INDEX_SUFFIX))).clear()
        scan = recover_segment(
            segment, allows_gaps=self.allows_gaps or not is_last, on_batch=self._on_batch
        )
        if scan.kind == WHOLE:
            return scan
        is_lost = scan.kind == LOST_PAGES and self._may_cut(scan.next_offset)
        is_torn = scan.kind == TORN and self._may_cut(scan.next_offset)
        is_torn = is_torn or (is_last and scan.kind in (TORN, DAMAGED))
        if not (is_lost or is_torn or scan.kind == RESERVED):
            raise LogCorruptedError(
                Path(segment.log.path),
                scan.valid_bytes,
                f"{scan.reason}, and whole batches follow"
                if scan.kind in (CORRUPT, LOST_PAGES)
                else f"{scan.reason}, and the log goes on in the next segment",
            )
        if scan.kind != RESERVED:
            self.cut_bytes += scan.cut_bytes
            _logger.warning(
                "%s: cut off %d bytes at byte %d (%s: %s); the log ends at offset %d",
                segment.log.path,
                scan.cut_bytes,
                scan.valid_bytes,
                scan.kind,
                scan.reason,
                scan.next_offset,
            )
        segment.log.truncate(scan.valid_bytes)
        return scan

    def _may_cut(self, offset: int) -> bool:
        """Whether nobody was promised the records from `offset` on."""
        return offset >= self.recovery_point

    def _is_lost_between(self, end_offset: int, next_base: int) -> bool:
        """Whether unsynced records are missing between two segments."""
        return end_offset < next_base and not self.allows_gaps and self._may_cut(end_offset)

    def _drop(self, bases: list[int], sizes: dict[int, int]) -> None:
        """Delete the segments behind a cut."""
        for base in bases:
            segment = self.make_segment(base, sizes[base], True)
            self.cut_bytes += segment.size_bytes
            _logger.warning("%s: dropped, it lies behind a cut", segment.log.path)
            segment.close(trim=False)
            segment.delete_files()

    def _start_anew(self, segments: list[LogSegment]) -> list[LogSegment]:
        """An empty log at log_start_offset: all there is lies below it."""
        for segment in segments:
            segment.close(trim=False)
            segment.delete_files()
        self.producers.clear()
        return [self.make_segment(self.log_start_offset, -1, True)]

    def _make_closed(
        self, bases: list[int], sizes: dict[int, int], end_offset: int
    ) -> list[LogSegment]:
        segments = [self.make_segment(base, sizes[base], False) for base in bases]
        for segment, next_base in zip(segments, [*bases[1:], end_offset], strict=False):
            segment.next_offset = next_base
        return segments

    def _load_producers(
        self, segments: list[LogSegment], snapshots: list[int], end_offset: int
    ) -> None:
        self._replay_from = self.producers.load_snapshot(
            snapshots, start_offset=self.log_start_offset, end_offset=end_offset
        )

    def _replay(self, segments: list[LogSegment], end_offset: int) -> None:
        """Tell the producers what was written behind their snapshot."""
        for segment in segments:
            if self._replay_from < min(segment.next_offset, end_offset):
                replay_segment(segment, self._replay_from, self._on_batch)

    def _rebuild_epochs(self, segments: list[LogSegment]) -> None:
        self.epochs.clear()
        for segment in segments:
            replay_segment(segment, segment.base_offset, self._note_epoch)
        self.epochs.save()

    def _note_epoch(self, info: AppendInfo, segment: LogSegment, position: int) -> None:
        self.epochs.assign(info.leader_epoch, info.base_offset, save=False)

    def _on_batch(self, info: AppendInfo, segment: LogSegment, position: int) -> None:
        self._note_epoch(info, segment, position)
        if info.producer_id < 0 or info.base_offset < self._replay_from:
            return
        if not info.is_control:
            self.producers.note_batch(info)
            return
        aborted = self.producers.note_marker(info, segment.batch_at(position))
        if aborted is not None and self._rewrites_txn_indexes:
            TransactionIndex(Path(segment.path_of(TXN_INDEX_SUFFIX))).append_entry(aborted)


def stored_topic_id(folder: Path) -> bytes:
    """What partition.metadata says; ZERO_UUID where it is missing or damaged.

    Whoever knows the topic's id then writes it anew.
    """
    try:
        return read_partition_metadata(folder) or ZERO_UUID
    except CheckpointFormatError as error:
        _logger.warning("%s; taken as missing", error)
        return ZERO_UUID


def reload_producers(
    producers: ProducerStateManager,
    segments: list[LogSegment],
    *,
    start_offset: int,
    end_offset: int,
) -> None:
    """Bring the producers back to what they were when the log ended at `end_offset`.

    Where nobody is remembered nobody was, but for those that have expired since.
    """
    has_none = len(producers) == 0

    def note_batch(info: AppendInfo, segment: LogSegment, position: int) -> None:
        if info.producer_id >= 0 and info.base_offset >= replay_from:
            if info.is_control:
                producers.note_marker(info, segment.batch_at(position))
            else:
                producers.note_batch(info)

    replay_from = producers.load_newest(start_offset=start_offset, end_offset=end_offset)
    if has_none:
        producers.clear()
        return
    for segment in segments:
        if replay_from < segment.next_offset:
            replay_segment(segment, replay_from, note_batch)

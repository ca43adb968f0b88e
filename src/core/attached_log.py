"""`AttachedLog`: one partition's records, read by a process that does not own its log.

The owner may append, roll, delete and compact meanwhile.  Bytes are read from the files, never
through a mapping, since the owner may shorten a file; a batch counts once it is whole: its header
continues the log and its CRC is right.  What the owner takes back (an append that failed half-way)
is noticed by the last batch's header having changed, and the end is looked for anew.
"""

import os
from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple

from .checkpoint_file import LOG_START_OFFSET_NAME, CheckpointFormatError, read_offset_checkpoint
from .errors import CorruptRecordError, OffsetOutOfRangeError
from .record_batch import RecordBatch
from .timestamp_lookup import TimestampOffset

HEADER_BYTES = 61
CHUNK_BYTES = 1 << 20
TAIL_BYTES = 1 << 12
INDEX_ENTRY_BYTES = 8
_EMPTY = memoryview(b"")
_NO_HEADER = bytes(HEADER_BYTES)


class Found(NamedTuple):
    """A whole batch: where it starts in its file, and in the chunk that was read."""

    start: int
    at: int
    batch: RecordBatch
    chunk: memoryview


class AttachedSegment:
    """One .log file, open for reading; it stays readable after it was unlinked."""

    def __init__(self, folder: Path, base_offset: int) -> None:
        self.base_offset = base_offset
        self._index_path = folder / f"{base_offset:020d}.index"
        self._descriptor = os.open(folder / f"{base_offset:020d}.log", os.O_RDONLY | os.O_CLOEXEC)
        # Whole batches were seen up to `_end_position`, the last one with the header `_last`.
        self._end_position = 0
        self.next_offset = base_offset
        self._last = (0, b"")
        # (offset, its batch's position) where the last read ended.
        self._hint = (-1, 0)

    def close(self) -> None:
        """Let go of the file; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def find_end(self) -> int:
        """The offset behind the last whole batch."""
        position, header = self._last
        if header and os.pread(self._descriptor, HEADER_BYTES, position) != header:
            self._end_position, self.next_offset, self._last = 0, self.base_offset, (0, b"")
            self._hint = (-1, 0)
        if self._end_position == 0:
            self._end_position, self.next_offset = self._indexed_before(1 << 62)
        while batches := self._whole_batches(self._end_position, TAIL_BYTES, self.next_offset):
            last = batches[-1]
            self._last = (last.start, bytes(last.batch.view()[:HEADER_BYTES]))
            self.next_offset = last.batch.next_offset
            self._end_position = last.start + last.batch.size_bytes
            behind = last.at + last.batch.size_bytes
            if last.chunk[behind : behind + HEADER_BYTES] == _NO_HEADER:
                break  # the reserved tail was read along with it
        return self.next_offset

    def read_records(self, start_offset: int, max_bytes: int) -> memoryview:
        """Whole batches from the one that holds `start_offset` on, of this segment; or empty."""
        if start_offset == self._hint[0]:
            position, expected = self._hint[1], start_offset
        else:
            position, expected = self._indexed_before(start_offset)
        while batches := self._whole_batches(position, self._bounded(position), expected):
            for found in batches:
                if found.batch.last_offset >= start_offset:
                    expected = found.batch.base_offset
                    wanted = max(self._bounded(found.start, max_bytes), HEADER_BYTES)
                    if found.start == position and wanted <= self._bounded(position):
                        return self._joined(_up_to(batches, wanted))
                    return self._joined(self._whole_batches(found.start, wanted, expected))
            last = batches[-1]
            position, expected = last.start + last.batch.size_bytes, last.batch.next_offset
        return _EMPTY

    def _bounded(self, position: int, max_bytes: int = CHUNK_BYTES) -> int:
        """`max_bytes`, or what there is up to the known end."""
        left = self._end_position - position
        return min(max_bytes, left) if left > 0 else max_bytes

    def _joined(self, batches: "list[Found]") -> memoryview:
        """The bytes of batches that were read together; the next read goes on behind them."""
        first, last = batches[0], batches[-1]
        size_bytes = last.start + last.batch.size_bytes - first.start
        self._hint = (last.batch.next_offset, first.start + size_bytes)
        return first.chunk[first.at : first.at + size_bytes]

    def _whole_batches(self, position: int, max_bytes: int, expected_offset: int) -> "list[Found]":
        """The whole batches at `position`, of up to `max_bytes`, the first even above that."""
        chunk = os.pread(self._descriptor, max_bytes, position)
        if len(chunk) >= HEADER_BYTES:
            claimed = 12 + int.from_bytes(chunk[8:12], "big", signed=True)
            if claimed > len(chunk) >= max_bytes:
                chunk = os.pread(self._descriptor, claimed, position)
        view = memoryview(chunk)
        found = []
        at = 0
        while len(chunk) - at >= HEADER_BYTES:
            try:
                batch = RecordBatch(view, at)
            except CorruptRecordError:
                break  # the reserved tail, or a batch that is being written
            if batch.base_offset < expected_offset or not batch.crc_is_valid():
                break
            found.append(Found(position + at, at, batch, view))
            expected_offset = batch.next_offset
            at += batch.size_bytes
        return found

    def _indexed_before(self, offset: int) -> tuple[int, int]:
        """(position, its batch's base offset) by the index: no batch with `offset` is before it."""
        nowhere = (0, self.base_offset)
        try:
            descriptor = os.open(self._index_path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return nowhere
        try:
            slots = range(os.fstat(descriptor).st_size // INDEX_ENTRY_BYTES)
            count = bisect_right(slots, offset, key=lambda slot: self._entry(descriptor, slot)[0])
            if count == 0:
                return nowhere
            last_offset, position = self._entry(descriptor, count - 1)
        finally:
            os.close(descriptor)
        batches = self._whole_batches(position, HEADER_BYTES, self.base_offset)
        # An entry that is being written, or is not right, costs a scan from the start.
        if not batches or batches[0].batch.last_offset != last_offset:
            return nowhere
        return position, batches[0].batch.base_offset

    def _entry(self, descriptor: int, slot: int) -> tuple[int, int]:
        """(last offset of a batch, its position); beyond all offsets where nothing is written."""
        entry = os.pread(descriptor, INDEX_ENTRY_BYTES, slot * INDEX_ENTRY_BYTES)
        position = int.from_bytes(entry[4:], "big")
        if position == 0:
            return 1 << 63, 0
        return self.base_offset + int.from_bytes(entry[:4], "big"), position


def _up_to(batches: list[Found], max_bytes: int) -> list[Found]:
    """The first batches that end within `max_bytes`; the first one in any case."""
    limit = batches[0].start + max_bytes
    kept = [each for each in batches if each.start + each.batch.size_bytes <= limit]
    return kept or batches[:1]


class AttachedLog:
    """The segments of one partition's folder.  For one thread at a time."""

    def __init__(self, path: Path, *, topic: str, partition: int) -> None:
        """Raises FileNotFoundError where there is no such folder."""
        self.path = path
        self.topic = topic
        self.partition = partition
        self._folder = str(path)
        self.log_start_offset = 0
        # What `log_end_offset` was when it was looked at last.
        self.known_end_offset = 0
        self._segments: dict[int, AttachedSegment] = {}
        self._bases: list[int] = []
        self.refresh()

    def refresh(self) -> None:
        """Look at the folder anew: segments come and go, and the log's start moves."""
        bases = sorted(
            int(name[:20])
            for name in os.listdir(self.path)
            if name.endswith(".log") and len(name) == 24 and name[:20].isdigit()
        )
        # A compacted segment has its old name and another file: only the last one is kept open.
        for base in list(self._segments):
            if not bases or base != bases[-1]:
                self._segments.pop(base).close()
        self._bases = bases
        self.log_start_offset = max(bases[0] if bases else 0, self._checkpointed_start())

    @property
    def log_end_offset(self) -> int:
        """The offset behind the last record that is there."""
        self.known_end_offset = self._find_end()
        return self.known_end_offset

    def _find_end(self) -> int:
        while self._bases:
            end = self._segment(self._bases[-1]).find_end()
            if end == self._bases[-1] or not os.path.exists(f"{self._folder}/{end:020d}.log"):
                return end
            self.refresh()
        return self.log_start_offset

    def read_records(self, *, start_offset: int, max_bytes: int) -> memoryview:
        """Whole batches from the one that holds `start_offset` on, copied; empty at the end.

        Raises OffsetOutOfRangeError outside of log_start_offset..log_end_offset.
        """
        try:
            return self._read(start_offset, max_bytes)
        except FileNotFoundError:  # a segment was deleted since the last look
            self.refresh()
            return self._read(start_offset, max_bytes)

    def find_offset_by_timestamp(self, timestamp: int) -> TimestampOffset | None:
        """The earliest record no older than `timestamp` [ms]; looks at every batch before it."""
        offset, end = self.log_start_offset, self.log_end_offset
        while offset < end:
            records = self.read_records(start_offset=offset, max_bytes=CHUNK_BYTES)
            if not records:
                return None
            at = 0
            while at < len(records):
                batch = RecordBatch(records, at)
                if batch.max_timestamp >= timestamp:
                    for record in batch.records():
                        if record.timestamp >= timestamp and record.offset >= offset:
                            return TimestampOffset(
                                record.timestamp, record.offset, batch.leader_epoch
                            )
                at += batch.size_bytes
                offset = batch.next_offset
        return None

    def close(self) -> None:
        """Let go of every file."""
        for segment in self._segments.values():
            segment.close()
        self._segments.clear()
        self._bases.clear()

    def _read(self, start_offset: int, max_bytes: int) -> memoryview:
        end = self.log_end_offset
        if not self.log_start_offset <= start_offset <= end:
            self.refresh()
            if not self.log_start_offset <= start_offset <= end:
                raise OffsetOutOfRangeError(start_offset, self.log_start_offset, end)
        slot = max(0, bisect_right(self._bases, start_offset) - 1)
        while start_offset < end and slot < len(self._bases):
            found = self._segment(self._bases[slot]).read_records(start_offset, max_bytes)
            if found:
                return found
            slot += 1
        return _EMPTY

    def _segment(self, base_offset: int) -> AttachedSegment:
        segment = self._segments.get(base_offset)
        if segment is None:
            segment = self._segments[base_offset] = AttachedSegment(self.path, base_offset)
        return segment

    def _checkpointed_start(self) -> int:
        try:
            starts = read_offset_checkpoint(self.path.parent / LOG_START_OFFSET_NAME)
        except CheckpointFormatError:
            return 0  # the owner takes it as empty, too
        return starts.get((self.topic, self.partition), 0)

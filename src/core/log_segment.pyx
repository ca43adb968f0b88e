"""One segment of a log: a .log file of record batches and the indexes over it.

    <20-digit base offset>.log        batches back to back, as they travelled; then a reserved tail
    <20-digit base offset>.index      offset -> position           (offset_index)
    <20-digit base offset>.timeindex  timestamp -> offset          (time_index)
    <20-digit base offset>.txnindex   aborted transactions, if any (transaction_index)

An entry goes to both indexes once more than index.interval.bytes of batches were written since the
last one.  The indexes of a closed segment are opened when they are first needed, and rebuilt from
the .log file when they cannot be right.  An OSError leaves everything as it was before the call.

The CRC of every batch is compared each time it is read for somebody: what the disk changed since it
was written is not served.  One who compares it himself may leave that out at the end of what this
process has compared and written: that has not come from the disk.
"""

import logging
import os
from contextlib import suppress

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT32_MAX, INT64_MAX, int32_t, int64_t, uint8_t
from libc.string cimport memcpy

from .append_info cimport AppendInfo
from .mapped_file cimport MMAP_STORE_LIMIT, MappedFile, Mapping
from .offset_index cimport OFFSET_ENTRY_BYTES, OffsetIndex
from .record_batch cimport (
    BATCH_HEADER_BYTES,
    BATCH_OK,
    BatchHeader,
    RecordBatch,
    batch_crc_matches,
    read_batch_header,
    stamp_batch,
)
from .time_index cimport TIME_ENTRY_BYTES, TimeIndex

from .errors import CorruptIndexError, CorruptRecordError, LogCorruptedError

_logger = logging.getLogger(__name__)

LOG_SUFFIX = ".log"
INDEX_SUFFIX = ".index"
TIME_INDEX_SUFFIX = ".timeindex"
TXN_INDEX_SUFFIX = ".txnindex"
CLEANED_SUFFIX = ".cleaned"
SWAP_SUFFIX = ".swap"
DELETED_SUFFIX = ".deleted"

cdef enum:
    # Fewer bytes are checked sooner than the GIL is given away and taken back.
    GIL_FREE_BYTES = 65536
    # What was written last lies in the page cache as it was written: no disk had it meanwhile.
    FRESH_BYTES = 16777216


cdef class LogSegment:
    """The segment that starts at `base_offset` in `folder`.

    A writable one makes its files if they are not there.  `size_bytes`: of the .log file, where the
    caller knows it; -1 looks.  `submit`: gives a job to the worker, which then reserves disk ahead.
    """

    def __init__(
        self, str folder, int64_t base_offset, *, int64_t segment_bytes, int64_t index_max_bytes,
        int64_t index_interval_bytes, int64_t roll_ms, int64_t created_ms=0, bint is_writable=True,
        int64_t size_bytes=-1, str suffix="", submit=None
    ):
        self.folder = folder
        self.suffix = suffix
        self.base_offset = base_offset
        self.next_offset = base_offset
        self.segment_bytes = segment_bytes
        self.index_max_bytes = index_max_bytes
        self.index_interval_bytes = index_interval_bytes
        self.roll_ms = roll_ms
        self.created_ms = created_ms
        self.is_writable = is_writable
        self._max_timestamp = -1
        self._offset_of_max = base_offset
        self._first_timestamp = -1
        self._compared_from = INT64_MAX
        self.log = MappedFile(
            self.path_of(LOG_SUFFIX), max_bytes=segment_bytes, is_writable=is_writable,
            size_bytes=size_bytes, submit=submit,
        )

    @property
    def size_bytes(self) -> int:
        """Bytes of batches, without the reserved tail."""
        return self.log.size_bytes

    @property
    def offset_index(self) -> OffsetIndex:
        """Opened on first use."""
        return self.offsets()

    @property
    def time_index(self) -> TimeIndex:
        """Opened on first use."""
        return self.times()

    @property
    def max_timestamp(self) -> int:
        """The newest timestamp [ms] in the segment; -1 when it has none."""
        return self._max_timestamp if self.is_writable else self.times().last_timestamp

    @property
    def offset_of_max_timestamp(self) -> int:
        """The last offset of the batch that holds max_timestamp."""
        return self._offset_of_max if self.is_writable else self.times().last_offset

    def path_of(self, str kind) -> str:
        """The path of its file of this kind, such as LOG_SUFFIX."""
        return f"{self.folder}/{self.base_offset:020d}{kind}{self.suffix}"

    cpdef bint must_roll(self, AppendInfo info, int64_t now_ms) except -1:
        return self.is_full_for(&info.header, info.last_offset, now_ms)

    cdef bint is_full_for(
        self, const BatchHeader* header, int64_t last_offset, int64_t now_ms
    ) except -1:
        cdef int64_t waited, max_timestamp = header.max_timestamp
        if self.log.size_bytes == 0:
            return False
        if (self.log.size_bytes > self.segment_bytes - header.size_bytes
                or last_offset - self.base_offset > INT32_MAX):
            return True
        if self.offsets().slot_count >= self._offset_index.max_slots:
            return True
        if self.times().slot_count >= self._time_index.max_slots - 1:
            return True
        if self._first_timestamp < 0:
            self._first_timestamp = self._read_first_timestamp()
        if self._first_timestamp >= 0 and max_timestamp >= 0:
            waited = max_timestamp - self._first_timestamp
        else:
            waited = now_ms - self.created_ms
        return waited > self.roll_ms

    cpdef int append_batch(self, object records, AppendInfo info) except -1:
        cdef Py_buffer buffer
        PyObject_GetBuffer(records, &buffer, PyBUF_SIMPLE)
        try:
            assert buffer.len == info.header.size_bytes, (buffer.len, info.header.size_bytes)
            self._compared_from = min(self._compared_from, self.log.size_bytes)
            return self.append_one(
                <const uint8_t*>buffer.buf, &info.header, info.base_offset, info.leader_epoch)
        finally:
            PyBuffer_Release(&buffer)

    def append_records(self, records) -> int:
        """Store whole batches as they are, offsets and epochs too; how many.

        Raises CorruptRecordError before the first that is none; CRCs are the caller's to check.
        """
        cdef Py_buffer buffer
        cdef BatchHeader header
        cdef const uint8_t* start
        cdef int64_t position = 0, count = 0
        PyObject_GetBuffer(records, &buffer, PyBUF_SIMPLE)
        try:
            start = <const uint8_t*>buffer.buf
            # Invariant: the batches before `position` are stored.
            while position < buffer.len:
                if read_batch_header(start + position, buffer.len - position, &header) != BATCH_OK:
                    raise CorruptRecordError(f"no whole record batch at byte {position}")
                self.append_one(
                    start + position, &header, header.base_offset, header.leader_epoch)
                position += header.size_bytes
                count += 1
        finally:
            PyBuffer_Release(&buffer)
        return count

    def slice_from(
        self, int64_t start_offset, int64_t max_bytes, int64_t upper_bound_offset,
        bint min_one_batch=True, bint reader_compares=False,
    ) -> memoryview | None:
        """Whole batches from the one that holds `start_offset`, uncopied.

        Up to `max_bytes` (the first batch even above it, if `min_one_batch`), and below
        `upper_bound_offset`, and before the first damaged one.  Empty when none may be given; None
        when this segment has no record at or behind `start_offset`.  Raises LogCorruptedError where
        the first batch is damaged; not for the CRC of fresh ones, where `reader_compares` them.
        """
        return self.slice_of(
            start_offset, max_bytes, upper_bound_offset, min_one_batch, reader_compares)

    cdef object slice_of(
        self, int64_t start_offset, int64_t max_bytes, int64_t upper_bound_offset,
        bint min_one_batch, bint reader_compares
    ):
        cdef int64_t start = self.find_position(start_offset)
        cdef bint is_compared
        if start < 0:
            return None
        is_compared = reader_compares and self.is_fresh(start)
        return self.log.view_of(
            start,
            self.intact_end(start, max_bytes, upper_bound_offset, min_one_batch, is_compared))

    cdef bint is_fresh(self, int64_t position) noexcept:
        return position >= self._compared_from and self.log.size_bytes - position <= FRESH_BYTES

    def batch_at_or_after(self, int64_t offset) -> RecordBatch | None:
        """The first batch whose last offset is `offset` or above."""
        cdef int64_t position = self.find_position(offset)
        if position < 0:
            return None
        return RecordBatch(self.log.view_of(position, self.log.size_bytes))

    def batch_at(self, int64_t position) -> RecordBatch:
        """The batch that starts at `position`; raises LogCorruptedError if none does."""
        cdef BatchHeader header
        self.read_header_at(position, &header)
        return RecordBatch(self.log.view_of(position, position + header.size_bytes))

    def batch_with_timestamp(self, int64_t timestamp, int64_t offset) -> RecordBatch | None:
        """The first batch that ends at `offset` or above, no older than `timestamp` [ms]."""
        cdef BatchHeader header
        cdef TimeIndex times = self.times()
        cdef int64_t slot = times.slot_below(timestamp - 1)
        cdef int64_t position
        if slot >= 0:
            offset = max(offset, times.offset_at(slot))
        position = self.find_position(offset)
        while 0 <= position < self.log.size_bytes:
            self.read_header_at(position, &header)
            if header.max_timestamp >= timestamp:
                if not batch_crc_matches(self.log.data() + position, &header):
                    self._refuse_damaged(position)
                return RecordBatch(self.log.view_of(position, self.log.size_bytes))
            position += header.size_bytes
        return None

    def position_of(self, int64_t offset) -> int:
        """Where the first batch that ends at `offset` or above starts; size_bytes if none does."""
        cdef int64_t position = self.find_position(offset)
        return self.log.size_bytes if position < 0 else position

    def load_end(self) -> bool:
        """Learn next_offset and the newest timestamp after a clean stop, by the indexes.

        A reserved tail is dropped.  False where the bytes do not bear the indexes out: recover.
        """
        cdef OffsetIndex offsets = self.offsets()
        cdef TimeIndex times = self.times()
        cdef const uint8_t* data
        cdef BatchHeader header
        cdef int64_t position = 0, size = self.log.size_bytes, next_offset = self.base_offset
        self.bytes_since_entry = 0
        self.next_offset = self.base_offset
        self._max_timestamp = times.last_timestamp
        self._offset_of_max = times.last_offset
        if size == 0:
            return offsets.slot_count == 0
        if offsets.slot_count:
            next_offset = -1
            position = offsets.position_at(offsets.slot_count - 1)
            if position >= size:
                return False
        data = self.log.data()
        # Invariant: batches before `position` are whole and end below `next_offset`.
        while position < size:
            if read_batch_header(data + position, size - position, &header) != BATCH_OK:
                return False
            if header.base_offset < next_offset:
                return False
            if next_offset < 0:
                self.bytes_since_entry = 0
                if header.base_offset + header.last_offset_delta != offsets.last_offset:
                    return False
            if header.max_timestamp > self._max_timestamp:
                self._max_timestamp = header.max_timestamp
                self._offset_of_max = header.base_offset + header.last_offset_delta
            next_offset = header.base_offset + header.last_offset_delta + 1
            position += header.size_bytes
            self.bytes_since_entry += header.size_bytes
        self.next_offset = next_offset
        return True

    def truncate_to(self, int64_t offset) -> None:
        """Drop the batches that end at `offset` or above."""
        cdef int64_t position = self.find_position(offset)
        if position < 0:
            return
        self.offsets().truncate_to(offset)
        self.times().truncate_to(offset)
        self.log.truncate(position)
        self.bytes_since_entry = 0
        self._first_timestamp = -1
        if not self.load_end():
            raise LogCorruptedError(self.log.path, position, "no whole batch before this byte")

    def make_inactive(self) -> None:
        """Close it for writing: note the newest timestamp, trim the files; views stay."""
        if self._max_timestamp >= 0:
            self.times().maybe_append(self._max_timestamp, self._offset_of_max)
        for file in (self.offsets().file, self.times().file, self.log):
            file.trim()
        self._make_files_idle()

    def make_active(self) -> None:
        """Open it for writing again, after a truncation."""
        self.log.make_writable(self.segment_bytes)
        if self._offset_index is not None:
            self._offset_index.file.make_writable(self._offset_index.max_slots * OFFSET_ENTRY_BYTES)
        if self._time_index is not None:
            self._time_index.file.make_writable(self._time_index.max_slots * TIME_ENTRY_BYTES)
        if not self.is_writable:
            self.is_writable = True
            if not self.load_end():
                raise LogCorruptedError(self.log.path, 0, "the batches do not match the indexes")

    def apply_limits(
        self, int64_t segment_bytes, int64_t index_interval_bytes, int64_t roll_ms
    ) -> None:
        """Live by new settings from the next append on."""
        self.segment_bytes = segment_bytes
        self.index_interval_bytes = index_interval_bytes
        self.roll_ms = roll_ms
        self.make_active()

    def rebuild_indexes(self) -> None:
        """Write both indexes anew from the batches."""
        cdef BatchHeader header
        cdef int64_t position = 0
        self.start_rebuild()
        while position < self.log.size_bytes:
            self.read_header_at(position, &header)
            self.index_batch(&header, header.base_offset, position)
            position += header.size_bytes
        if self._max_timestamp >= 0 and not self.is_writable:
            self._time_index.maybe_append(self._max_timestamp, self._offset_of_max)
            self._offset_index.file.trim()
            self._time_index.file.trim()
            self._make_files_idle()

    def change_suffix(self, str suffix) -> None:
        """Rename its files; views and mappings stay."""
        cdef str old_suffix = self.suffix
        for kind in (INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, LOG_SUFFIX):
            self.suffix = old_suffix
            old_path = self.path_of(kind)
            self.suffix = suffix
            with suppress(FileNotFoundError):
                os.rename(old_path, self.path_of(kind))
        self._note_paths()

    def folder_moved(self, str folder) -> None:
        """Take note that the partition's folder has a new name."""
        self.folder = folder
        self._note_paths()

    def delete_files(self) -> None:
        """Unlink what it has on disk; views stay readable.  For any thread, once closed."""
        for kind in (INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, LOG_SUFFIX):
            with suppress(FileNotFoundError):
                os.unlink(self.path_of(kind))

    def close(self, *, bint trim=True) -> None:
        """Let go of its files, trimmed to their content; views stay readable.  Idempotent."""
        if self.log.is_closed:
            return
        if trim and self.is_writable and self._max_timestamp >= 0:
            self.times().maybe_append(self._max_timestamp, self._offset_of_max)
        if self._offset_index is not None:
            self._offset_index.file.close(trim=trim)
        if self._time_index is not None:
            self._time_index.file.close(trim=trim)
        self.log.close(trim=trim)

    cdef int start_rebuild(self) except -1:
        self.drop_indexes()
        self._offset_index = self._open_offset_index()
        self._time_index = self._open_time_index()
        return 0

    cdef int append_one(
        self, const uint8_t* batch, const BatchHeader* header, int64_t base_offset,
        int32_t leader_epoch
    ) except -1:
        cdef int64_t position = self.log.size_bytes
        cdef int64_t size = header.size_bytes
        cdef uint8_t* target
        cdef uint8_t head[BATCH_HEADER_BYTES]
        assert base_offset >= self.next_offset, (base_offset, self.next_offset)
        # Whatever may fail comes first: disk for the batch and for the entries it may need.
        if position + size > self.log.max_bytes:
            self.log.make_writable(position + size)
        self.log.reserve(position + size)
        if self.bytes_since_entry > self.index_interval_bytes:
            self.offsets().reserve_entry()
            self.times().reserve_entry()
        if size < MMAP_STORE_LIMIT:
            self.log.warm(position + size)
            target = self.log.data() + position
            memcpy(target, batch, size)
            stamp_batch(target, base_offset, leader_epoch)
            self.log.grow_by(size)
        else:
            memcpy(head, batch, BATCH_HEADER_BYTES)
            stamp_batch(head, base_offset, leader_epoch)
            self.log.append_pieces(
                head, BATCH_HEADER_BYTES, batch + BATCH_HEADER_BYTES, size - BATCH_HEADER_BYTES)
        self.index_batch(header, base_offset, position)
        self.next_offset = base_offset + header.last_offset_delta + 1
        return 0

    cdef int index_batch(
        self, const BatchHeader* header, int64_t base_offset, int64_t position
    ) except -1:
        cdef int64_t last_offset = base_offset + header.last_offset_delta
        if header.max_timestamp > self._max_timestamp:
            self._max_timestamp = header.max_timestamp
            self._offset_of_max = last_offset
        if self.bytes_since_entry > self.index_interval_bytes:
            self.offsets().append_entry(last_offset, <int32_t>position)
            self.times().maybe_append(self._max_timestamp, self._offset_of_max)
            self.bytes_since_entry = 0
        self.bytes_since_entry += header.size_bytes
        return 0

    cdef int64_t find_position(self, int64_t offset) except -2:
        cdef BatchHeader header
        cdef int64_t position = self.start_position(offset)
        # Invariant: every batch before `position` ends below `offset`.
        while position < self.log.size_bytes:
            self.read_header_at(position, &header)
            if header.base_offset + header.last_offset_delta >= offset:
                return position
            position += header.size_bytes
        return -1

    cdef int64_t start_position(self, int64_t offset) except -2:
        """Where the index says to start; it is rebuilt if the batch there contradicts it."""
        cdef BatchHeader header
        cdef int64_t slot = self.offsets().slot_below(offset)
        cdef int64_t position
        if slot < 0:
            return 0
        position = self._offset_index.position_at(slot)
        if 0 <= position <= self.log.size_bytes - BATCH_HEADER_BYTES:
            if read_batch_header(
                self.log.data() + position, self.log.size_bytes - position, &header
            ) == BATCH_OK:
                if (header.base_offset + header.last_offset_delta
                        == self._offset_index.offset_at(slot)):
                    return position
        self.rebuild_indexes()
        slot = self._offset_index.slot_below(offset)
        return 0 if slot < 0 else self._offset_index.position_at(slot)

    cdef int64_t intact_end(
        self, int64_t start, int64_t max_bytes, int64_t upper_bound_offset, bint min_one_batch,
        bint is_compared
    ) except -1:
        """The end of the last batch that may be given; `start` if none may."""
        cdef const uint8_t* data = self.log.data()
        # Held while the GIL is not: another store may need the room of idle files' mappings.
        cdef Mapping _held = self.log._mapping
        cdef int64_t size = self.log.size_bytes
        cdef int64_t limit = min(start + max_bytes, size)
        cdef int64_t end
        cdef bint is_damaged = False
        if not is_compared:
            self.log.will_read(start, limit)
        if is_compared or limit - start < GIL_FREE_BYTES:
            end = walk_intact(
                data, start, limit, size, upper_bound_offset, min_one_batch, is_compared,
                &is_damaged)
        else:
            with nogil:
                end = walk_intact(
                    data, start, limit, size, upper_bound_offset, min_one_batch, False,
                    &is_damaged)
        if is_damaged and end == start:
            self._refuse_damaged(start)
        return end

    def _refuse_damaged(self, int64_t position) -> None:
        cdef BatchHeader header
        cdef int64_t last_offset
        self.read_header_at(position, &header)
        last_offset = header.base_offset + header.last_offset_delta
        self._refuse(
            position, "the CRC of a batch does not match",
            f"offsets {header.base_offset} to {last_offset} are not served; a consumer that seeks "
            f"to {last_offset + 1} gets what follows",
        )

    def _refuse(self, int64_t position, str reason, str consequence) -> None:
        """Raise LogCorruptedError; it is logged the first time that somebody comes there."""
        error = LogCorruptedError(self.log.path, position, reason)
        if self._reported is None:
            self._reported = set()
        if position not in self._reported:
            self._reported.add(position)
            _logger.error("%s: %s", error, consequence)
        raise error

    cdef int read_header_at(self, int64_t position, BatchHeader* header) except -1:
        cdef int64_t available = self.log.size_bytes - position
        if read_batch_header(self.log.data() + position, available, header) != BATCH_OK:
            self._refuse(
                position, "no record batch starts here",
                "what follows cannot be read, up to the next entry of the index",
            )
        return 0

    cdef OffsetIndex offsets(self):
        if self._offset_index is None:
            self._load_indexes()
        return self._offset_index

    cdef TimeIndex times(self):
        if self._time_index is None:
            self._load_indexes()
        return self._time_index

    def _load_indexes(self) -> None:
        """Open both indexes; those of a closed segment must be plausible, or are rebuilt."""
        try:
            self._offset_index = self._open_offset_index()
            self._time_index = self._open_time_index()
            self._offset_index.sanity_check(self.log.size_bytes)
            self._time_index.sanity_check()
            if not self.is_writable:
                if self.log.size_bytes and not self._time_index.slot_count:
                    raise CorruptIndexError(f"{self._time_index.file.path} is empty")
                self._make_files_idle()
        except (CorruptIndexError, FileNotFoundError):
            self.rebuild_indexes()

    def _open_offset_index(self) -> OffsetIndex:
        return OffsetIndex(
            self.path_of(INDEX_SUFFIX), self.base_offset, max_bytes=self.index_max_bytes)

    def _open_time_index(self) -> TimeIndex:
        return TimeIndex(
            self.path_of(TIME_INDEX_SUFFIX), self.base_offset, max_bytes=self.index_max_bytes)

    def _make_files_idle(self) -> None:
        self.log.make_idle()
        if self._offset_index is not None:
            self._offset_index.file.make_idle()
        if self._time_index is not None:
            self._time_index.file.make_idle()

    cdef int drop_indexes(self) except -1:
        if self._offset_index is not None:
            self._offset_index.file.close(trim=False)
            self._offset_index = None
        if self._time_index is not None:
            self._time_index.file.close(trim=False)
            self._time_index = None
        for kind in (INDEX_SUFFIX, TIME_INDEX_SUFFIX):
            with suppress(FileNotFoundError):
                os.unlink(self.path_of(kind))
        self.bytes_since_entry = 0
        self._max_timestamp = -1
        self._offset_of_max = self.base_offset
        return 0

    def _note_paths(self) -> None:
        self.log.moved_to(self.path_of(LOG_SUFFIX))
        if self._offset_index is not None:
            self._offset_index.file.moved_to(self.path_of(INDEX_SUFFIX))
        if self._time_index is not None:
            self._time_index.file.moved_to(self.path_of(TIME_INDEX_SUFFIX))

    def _read_first_timestamp(self) -> int:
        cdef BatchHeader header
        self.read_header_at(0, &header)
        return header.max_timestamp


cdef int64_t walk_intact(
    const uint8_t* data, int64_t start, int64_t limit, int64_t size, int64_t upper_bound_offset,
    bint min_one_batch, bint is_compared, bint* is_damaged
) noexcept nogil:
    cdef BatchHeader header
    cdef int64_t position = start
    # Invariant: the batches from `start` to `position` are intact, fit, and end below the bound.
    while position < limit or (min_one_batch and position == start):
        if read_batch_header(data + position, size - position, &header) != BATCH_OK:
            is_damaged[0] = True
            break
        if position + header.size_bytes > limit and not (min_one_batch and position == start):
            break
        if header.base_offset + header.last_offset_delta >= upper_bound_offset:
            break
        if not is_compared and not batch_crc_matches(data + position, &header):
            is_damaged[0] = True
            break
        position += header.size_bytes
    return position

"""The time index of one segment: from which offset on records may be newer than a timestamp.

    OFFSET  SIZE  FIELD            one entry, big-endian
         0     8  timestamp        [ms] the largest timestamp up to and with this batch
         8     4  relative_offset  last offset of the batch that holds it - base_offset

Invariant: timestamps grow strictly and offsets never fall: every record before the entry's offset
has a timestamp of at most the entry's.  The file carries no checksum; after a crash it is rebuilt
from the segment.  Zeros behind the last entry are a reserved tail; an entry of zeros (timestamp 0
at base_offset) that stands alone is taken for one, and the segment is scanned in its place.
"""

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t

from .byteorder cimport load_i32, load_i64, store_i32, store_i64
from .mapped_file cimport MappedFile

from .errors import CorruptIndexError, IndexFullError


cdef class TimeIndex:
    """The index at `path`; `max_bytes` is segment.index.bytes, rounded down to whole entries."""

    def __init__(
        self, str path, int64_t base_offset, *, int64_t max_bytes, bint is_writable=True
    ):
        self.file = MappedFile(
            path, max_bytes=max_bytes // TIME_ENTRY_BYTES * TIME_ENTRY_BYTES,
            is_writable=is_writable,
        )
        self.base_offset = base_offset
        self.max_slots = self.file.max_bytes // TIME_ENTRY_BYTES
        self._count_entries(self.file.size_bytes // TIME_ENTRY_BYTES)

    @property
    def is_full(self) -> bool:
        """Whether only the slot is left that closing the segment may need."""
        return self.slot_count >= self.max_slots - 1

    def lookup(self, int64_t timestamp) -> tuple[int, int]:
        """(timestamp, offset) of the last entry at or below `timestamp`; (-1, base_offset) if none.

        A record newer than `timestamp` can only stand behind that offset.
        """
        cdef int64_t slot = self.slot_below(timestamp)
        if slot < 0:
            return -1, self.base_offset
        return self.timestamp_at(slot), self.offset_at(slot)

    def entry(self, int64_t slot) -> tuple[int, int]:
        """(timestamp, offset) of one entry."""
        if not 0 <= slot < self.slot_count:
            raise IndexError(f"slot {slot} of {self.slot_count}")
        return self.timestamp_at(slot), self.offset_at(slot)

    def entries(self) -> list[tuple[int, int]]:
        """Every entry as (timestamp, offset), for dumps and tests."""
        return [self.entry(slot) for slot in range(self.slot_count)]

    def truncate_to(self, int64_t offset) -> None:
        """Drop the entries at `offset` and above."""
        while self.slot_count and self.offset_at(self.slot_count - 1) >= offset:
            self.slot_count -= 1
        self._note_last()
        self.file.truncate(self.slot_count * TIME_ENTRY_BYTES)

    def sanity_check(self) -> None:
        """Raise CorruptIndexError unless size and order of the entries can be true."""
        cdef const uint8_t* data
        cdef int64_t slot, next_timestamp, timestamp = -1
        cdef int32_t next_relative, relative = 0
        if self.file.size_bytes % TIME_ENTRY_BYTES:
            raise CorruptIndexError(f"{self.file.path} has {self.file.size_bytes} bytes, "
                                    f"no multiple of {TIME_ENTRY_BYTES}")
        if self.slot_count == 0:
            return
        data = self.file.data()
        for slot in range(self.slot_count):
            next_timestamp = load_i64(data + slot * TIME_ENTRY_BYTES)
            next_relative = load_i32(data + slot * TIME_ENTRY_BYTES + 8)
            if next_timestamp <= timestamp or next_relative < relative:
                raise CorruptIndexError(f"{self.file.path} does not grow at slot {slot}")
            timestamp, relative = next_timestamp, next_relative

    cdef int reserve_entry(self) except -1:
        if self.slot_count >= self.max_slots:
            raise IndexFullError(f"{self.file.path} is full with {self.slot_count} entries")
        return self.file.reserve((self.slot_count + 1) * TIME_ENTRY_BYTES)

    cpdef int maybe_append(self, int64_t timestamp, int64_t offset) except -1:
        """Note that records up to `offset` are no newer than `timestamp`, if that says more."""
        cdef uint8_t* target
        if timestamp <= self.last_timestamp:
            return 0
        assert offset >= self.last_offset, (offset, self.last_offset)
        assert offset - self.base_offset <= INT32_MAX, (offset, self.base_offset)
        self.reserve_entry()
        target = self.file.data() + self.slot_count * TIME_ENTRY_BYTES
        store_i64(target, timestamp)
        store_i32(target + 8, <int32_t>(offset - self.base_offset))
        self.file.grow_by(TIME_ENTRY_BYTES)
        self.slot_count += 1
        self.last_timestamp = timestamp
        self.last_offset = offset
        return 1

    cdef int64_t slot_below(self, int64_t timestamp) except -2:
        cdef int64_t low = 0, high = self.slot_count, middle
        cdef const uint8_t* data
        if high == 0:
            return -1
        data = self.file.data()
        # Invariant: entries before `low` are <= timestamp, entries from `high` on are above it.
        while low < high:
            middle = (low + high) >> 1
            if load_i64(data + middle * TIME_ENTRY_BYTES) <= timestamp:
                low = middle + 1
            else:
                high = middle
        return low - 1

    cdef int64_t timestamp_at(self, int64_t slot) except? -1:
        return load_i64(self.file.data() + slot * TIME_ENTRY_BYTES)

    cdef int64_t offset_at(self, int64_t slot) except? -1:
        return self.base_offset + load_i32(self.file.data() + slot * TIME_ENTRY_BYTES + 8)

    def _note_last(self) -> None:
        if self.slot_count:
            self.last_timestamp = self.timestamp_at(self.slot_count - 1)
            self.last_offset = self.offset_at(self.slot_count - 1)
        else:
            self.last_timestamp = -1
            self.last_offset = self.base_offset

    def _count_entries(self, int64_t whole) -> None:
        """Find the last entry; behind it a reserved tail of zeros may follow, which is dropped."""
        cdef int64_t low = 0, high = whole, middle
        cdef const uint8_t* data
        if whole and _is_zero(self.file.data() + (whole - 1) * TIME_ENTRY_BYTES):
            data = self.file.data()
            # Invariant: entries before `low` are written, entries from `high` on are zeros.
            while low < high:
                middle = (low + high) >> 1
                if _is_zero(data + middle * TIME_ENTRY_BYTES):
                    high = middle
                else:
                    low = middle + 1
            whole = low
            self.file.size_bytes = whole * TIME_ENTRY_BYTES
        self.slot_count = whole
        self._note_last()


cdef bint _is_zero(const uint8_t* entry) noexcept nogil:
    return load_i64(entry) == 0 and load_i32(entry + 8) == 0

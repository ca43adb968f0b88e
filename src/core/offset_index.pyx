"""The offset index of one segment: where, in bytes, to start reading for an offset.

    OFFSET  SIZE  FIELD            one entry, big-endian
         0     4  relative_offset  last offset of a batch - base_offset
         4     4  position         byte position of that batch in the .log file

Invariant: entries grow strictly in both fields.  The file carries no checksum; after a crash it is
rebuilt from the segment, which does.  A reader compares the entry with the batch it points at.
Zeros behind the last entry are a reserved tail: no entry is all zeros, because the first batch of a
segment is never indexed (Kafka does not either: reading starts there anyway).
"""

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t

from .byteorder cimport load_i32, store_i32
from .mapped_file cimport MappedFile

from .errors import CorruptIndexError, IndexFullError


cdef class OffsetIndex:
    """The index at `path`; `max_bytes` is segment.index.bytes, rounded down to whole entries."""

    def __init__(
        self, str path, int64_t base_offset, *, int64_t max_bytes, bint is_writable=True
    ):
        cdef int64_t whole
        self.file = MappedFile(
            path, max_bytes=max_bytes // OFFSET_ENTRY_BYTES * OFFSET_ENTRY_BYTES,
            is_writable=is_writable,
        )
        self.base_offset = base_offset
        self.last_offset = base_offset
        self.max_slots = self.file.max_bytes // OFFSET_ENTRY_BYTES
        whole = self.file.size_bytes // OFFSET_ENTRY_BYTES
        self._count_entries(whole)

    @property
    def is_full(self) -> bool:
        """Whether no further entry fits."""
        return self.slot_count >= self.max_slots

    def lookup(self, int64_t offset) -> tuple[int, int]:
        """(offset, position) of the last entry at or below `offset`; (base_offset, 0) if none."""
        cdef int64_t slot = self.slot_below(offset)
        if slot < 0:
            return self.base_offset, 0
        return self.offset_at(slot), self.position_at(slot)

    def entry(self, int64_t slot) -> tuple[int, int]:
        """(offset, position) of one entry."""
        if not 0 <= slot < self.slot_count:
            raise IndexError(f"slot {slot} of {self.slot_count}")
        return self.offset_at(slot), self.position_at(slot)

    def entries(self) -> list[tuple[int, int]]:
        """Every entry as (offset, position), for dumps and tests."""
        return [self.entry(slot) for slot in range(self.slot_count)]

    def truncate_to(self, int64_t offset) -> None:
        """Drop the entries at `offset` and above."""
        cdef int64_t slot = self.slot_below(offset - 1) if offset > self.base_offset else -1
        self.slot_count = slot + 1
        self.last_offset = self.offset_at(slot) if slot >= 0 else self.base_offset
        self.file.truncate(self.slot_count * OFFSET_ENTRY_BYTES)

    def sanity_check(self, int64_t log_size_bytes) -> None:
        """Raise CorruptIndexError unless size, order and bounds of the entries can be true."""
        cdef const uint8_t* data
        cdef int64_t slot
        cdef int32_t relative = -1, position = 0, next_relative, next_position
        if self.file.size_bytes % OFFSET_ENTRY_BYTES:
            raise CorruptIndexError(f"{self.file.path} has {self.file.size_bytes} bytes, "
                                    f"no multiple of {OFFSET_ENTRY_BYTES}")
        if self.slot_count == 0:
            return
        data = self.file.data()
        for slot in range(self.slot_count):
            next_relative = load_i32(data + slot * OFFSET_ENTRY_BYTES)
            next_position = load_i32(data + slot * OFFSET_ENTRY_BYTES + 4)
            if next_relative <= relative or next_position <= position:
                raise CorruptIndexError(f"{self.file.path} does not grow at slot {slot}")
            relative, position = next_relative, next_position
        if position >= log_size_bytes:
            raise CorruptIndexError(f"{self.file.path} points at byte {position} of a segment "
                                    f"of {log_size_bytes} bytes")

    cdef int reserve_entry(self) except -1:
        if self.slot_count >= self.max_slots:
            raise IndexFullError(f"{self.file.path} is full with {self.slot_count} entries")
        return self.file.reserve((self.slot_count + 1) * OFFSET_ENTRY_BYTES)

    cpdef int append_entry(self, int64_t offset, int32_t position) except -1:
        """Map `offset` to `position` [bytes]; raise IndexFullError if no slot is left."""
        cdef uint8_t* target
        assert offset - self.base_offset <= INT32_MAX, (offset, self.base_offset)
        assert offset > self.last_offset or self.slot_count == 0, (offset, self.last_offset)
        self.reserve_entry()
        target = self.file.data() + self.slot_count * OFFSET_ENTRY_BYTES
        store_i32(target, <int32_t>(offset - self.base_offset))
        store_i32(target + 4, position)
        self.file.grow_by(OFFSET_ENTRY_BYTES)
        self.slot_count += 1
        self.last_offset = offset
        return 0

    cdef int64_t slot_below(self, int64_t offset) except -2:
        cdef int64_t low = 0, high = self.slot_count, middle
        cdef int64_t relative = offset - self.base_offset
        cdef const uint8_t* data
        if high == 0:
            return -1
        data = self.file.data()
        # Invariant: entries before `low` are <= relative, entries from `high` on are above it.
        while low < high:
            middle = (low + high) >> 1
            if load_i32(data + middle * OFFSET_ENTRY_BYTES) <= relative:
                low = middle + 1
            else:
                high = middle
        return low - 1

    cdef int64_t offset_at(self, int64_t slot) except? -1:
        return self.base_offset + load_i32(self.file.data() + slot * OFFSET_ENTRY_BYTES)

    cdef int64_t position_at(self, int64_t slot) except? -1:
        return load_i32(self.file.data() + slot * OFFSET_ENTRY_BYTES + 4)

    def _count_entries(self, int64_t whole) -> None:
        """Find the last entry; behind it a reserved tail of zeros may follow, which is dropped."""
        cdef int64_t low = 0, high = whole, middle
        cdef const uint8_t* data
        if whole == 0:
            return
        data = self.file.data()
        if load_i32(data + (whole - 1) * OFFSET_ENTRY_BYTES + 4) == 0:
            # Invariant: entries before `low` are written, entries from `high` on are zeros.
            while low < high:
                middle = (low + high) >> 1
                if load_i32(data + middle * OFFSET_ENTRY_BYTES + 4) != 0:
                    low = middle + 1
                else:
                    high = middle
            whole = low
            self.file.size_bytes = whole * OFFSET_ENTRY_BYTES
        self.slot_count = whole
        self.last_offset = self.offset_at(whole - 1) if whole else self.base_offset

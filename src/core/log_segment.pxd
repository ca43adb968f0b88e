"""One segment of a log: a .log file of record batches and the indexes over it."""

from libc.stdint cimport int32_t, int64_t, uint8_t

from .append_info cimport AppendInfo
from .mapped_file cimport MappedFile
from .offset_index cimport OffsetIndex
from .record_batch cimport BatchHeader
from .time_index cimport TimeIndex


cdef class LogSegment:
    cdef readonly str folder
    cdef readonly str suffix              # "", ".cleaned", ".swap" or ".deleted"
    cdef readonly int64_t base_offset
    cdef public int64_t next_offset       # behind its last record; an upper bound once it is closed
    cdef readonly MappedFile log
    cdef OffsetIndex _offset_index        # None until needed
    cdef TimeIndex _time_index            # None until needed
    cdef readonly bint is_writable
    cdef readonly int64_t bytes_since_entry
    cdef int64_t _max_timestamp           # [ms] with _offset_of_max; of an active segment only
    cdef int64_t _offset_of_max
    cdef int64_t _first_timestamp         # [ms] of its first batch; -1: not read yet
    cdef int64_t _compared_from           # what lies behind was compared and written in this life
    cdef set _reported                    # positions of damaged batches that were logged; or None
    cdef public int64_t created_ms
    cdef public int64_t index_interval_bytes
    cdef public int64_t index_max_bytes
    cdef public int64_t segment_bytes
    cdef public int64_t roll_ms           # segment.ms less its jitter

    # Whether the batch of `info`, its offsets assigned, belongs into a new segment.
    cpdef bint must_roll(self, AppendInfo info, int64_t now_ms) except -1
    cdef bint is_full_for(
        self, const BatchHeader* header, int64_t last_offset, int64_t now_ms
    ) except -1
    # Stores the batch of `info`, stamped with the offsets it was given, from `records`.
    cpdef int append_batch(self, object records, AppendInfo info) except -1
    cdef int append_one(
        self, const uint8_t* batch, const BatchHeader* header, int64_t base_offset,
        int32_t leader_epoch
    ) except -1
    # Takes note of the batch at `position`: newest timestamp, index entries when they are due.
    cdef int index_batch(
        self, const BatchHeader* header, int64_t base_offset, int64_t position
    ) except -1
    # Opens both indexes empty; index_batch of every batch is to follow.
    cdef int start_rebuild(self) except -1
    # Forgets both indexes, on disk too: they are made anew when they are first needed.
    cdef int drop_indexes(self) except -1
    # See `slice_from`.
    cdef object slice_of(
        self, int64_t start_offset, int64_t max_bytes, int64_t upper_bound_offset,
        bint min_one_batch, bint reader_compares
    )
    # Whether the batches from `position` on were compared and written in this life, and just now.
    cdef bint is_fresh(self, int64_t position) noexcept
    # The position of the first batch whose last offset is >= `offset`; -1 when there is none.
    cdef int64_t find_position(self, int64_t offset) except -2
    cdef int64_t start_position(self, int64_t offset) except -2
    # Behind the last batch from `start` on that fits, ends below the bound and has a right CRC,
    # which is not looked at where `is_compared`.
    cdef int64_t intact_end(
        self, int64_t start, int64_t max_bytes, int64_t upper_bound_offset, bint min_one_batch,
        bint is_compared
    ) except -1
    cdef int read_header_at(self, int64_t position, BatchHeader* header) except -1
    cdef OffsetIndex offsets(self)
    cdef TimeIndex times(self)
